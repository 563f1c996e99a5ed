"""What an image is, where it lies in space, and how it is read and written.

File formats live in this room and nowhere else. Its files, in reading order:

    volume          an image in RAS+ order with its affine, and the lattice of the file it came from
    limits          how many bytes and voxels a file may ask for; gunzip that stops there
    guard           one sentence for whatever goes wrong while a file is read or written
    tree            what lies in a folder that somebody brought: bounded, no links out of it, safe names
    orientation     stored lattice to RAS+ and back, by flips and permutations only
    nifti           .nii and .nii.gz
    dicom_header    what is taken from a DICOM header (an allow-list), and what a series is
    dicom_lattice   slices sorted by position, and what is wrong with them
    codestream      the size that a compressed image says of itself
    dicom_pixels    one DICOM file decoded and rescaled
    dicom           a DICOM series, file or folder, as a Volume
    nrrd            NRRD and MetaImage
    pictures        PNG, JPEG and TIFF
    archive         zip archives, unpacked with suspicion
    files           any of these by name: read_volume, write_volume
    scrub           copies of image files without the text in their headers
    repetition_time  seconds from one volume of a 4-D image to the next
    fields          displacement fields as NIfTI vectors
    displacements   displacement fields pulled, composed, integrated, inverted, measured
    geometry        resample, crop, pad, put back, warp
    brain_surface   surface and outlines of the MNI152 brain, behind networks
    intensity       z-score, windows, percentiles, histogram matching, bias field
    standardization  landmarks of histograms, learnt on some images and applied to others
    arrays          .npy and .npz: headers first, no pickles
    feature_vectors  one row of numbers with their names
    series_text     columns of numbers in text, with or without a header
    time_axis       which axis of a matrix of signals is time
    regional_series  the table of time × regions, read, written, and turned where rows are regions
    subject         paths to what is known of one person
    cohort          subjects on disk, one row each in cohort.csv
    region_table    regions.csv: names, places and networks of regions
    atlas_names     lists that name the values of a label image
    atlases         label images and published coordinates
    confounds       motion and other nuisance signals
    cleaning        trend, filters, motion, scrubbing, scale
    region_means    mean signal of each region, a block of volumes at a time
    voxels          voxels inside a mask as the columns of a table, on one lattice
    bold            4-D image to regional series
    regional_cohort  everybody's series over the same regions
    regional_extraction  a cohort of 4-D images to a cohort of tables
    table_facts     what the feature tables of a cohort hold
    predictions     predictions as files, all of them or none
    uploads         files that came through the browser, staged under safe names
    drafts          what an importer found, before anything is copied
    covariates      tables beside the images: targets, groups, covariates
    feature_tables  a table with one row a subject
    words           what the words in file names mean
    series_tables   which tables are time series and which tell of subjects
    folders         a folder of files, grouped into subjects by their names
    bids_functional  functional runs of a BIDS tree, with confounds and repetition time
    bids            BIDS trees
    dataset_json    Medical Segmentation Decathlon and nnU-Net
    dicom_folders   DICOM series, under names that tell nothing
    cohort_folders  a cohort that exists already, and a single file
    picture_arrays  pictures and labels in one .npz: MedMNIST, Keras, plain
    layouts         which of these a source is
    transfer        from drafts to files of a cohort: copied, linked or converted
    importers       the door: any source to a cohort, complete or not at all
    splits          training, validation and test sets that never divide a group
    facts           what is measured of one image or label map
    problems        what is wrong with a cohort, as sentences
    summaries       one modality over all subjects
    series_facts    what is measured of a time series, and what is wrong with those of a cohort
    fingerprint     what a cohort holds and what is wrong with it
    stored_fingerprint  the same, kept until the files change, and told in lines of text
"""
