"""What an image is, where it lies in space, and how it is read and written.

File formats live in this room and nowhere else. Its files, in reading order:

    volume          an image in RAS+ order with its affine, and the lattice of the file it came from
    limits          how many bytes and voxels a file may ask for; gunzip that stops there
    guard           one sentence for whatever goes wrong while a file is read or written
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
    fields          displacement fields as NIfTI vectors
    geometry        resample, crop, pad, put back, warp
    intensity       z-score, windows, percentiles, histogram matching, bias field
    arrays          .npy and .npz: headers first, no pickles
    feature_vectors  one row of numbers with their names
    subject         paths to what is known of one person
    cohort          subjects on disk, one row each in cohort.csv
    table_facts     what the feature tables of a cohort hold
    predictions     predictions as files, all of them or none
    tree            what lies in a folder that somebody brought: bounded, no links out of it, safe names
    uploads         files that came through the browser, staged under safe names
    drafts          what an importer found, before anything is copied
    covariates      tables beside the images: targets, groups, covariates
    feature_tables  a table with one row a subject
    words           what the words in file names mean
    folders         a folder of files, grouped into subjects by their names
    bids            BIDS trees
    dataset_json    Medical Segmentation Decathlon and nnU-Net
    dicom_folders   DICOM series, under names that tell nothing
    cohort_folders  a cohort that exists already, and a single file
    picture_arrays  pictures and labels in one .npz: MedMNIST, Keras, plain
    layouts         which of these a source is
    scrub           copies of image files without the text in their headers
    transfer        from drafts to files of a cohort: copied, linked or converted
    importers       the door: any source to a cohort, complete or not at all
    splits          training, validation and test sets that never divide a group
    facts           what is measured of one image or label map
    problems        what is wrong with a cohort, as sentences
    summaries       one modality over all subjects
    fingerprint     what a cohort holds and what is wrong with it
    stored_fingerprint  the same, kept until the files change, and told in lines of text
"""
