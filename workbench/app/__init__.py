"""What the pages share; only here, in ``pages/`` and in ``streamlit_app.py`` is streamlit imported.

messages      a user's mistake as a sentence; anything else as one sentence and a log
state         the current cohort, subject, run and voxel, kept in the URL; cached volumes
overlay_layers  label maps and heat maps over an image, as codes for the browser
payload       a volume and its overlays as bytes for the browser
compare_payload  a second image and the field between the two, as bytes for the viewer
slice_viewer  three linked planes with a crosshair (and its .html, .css, .js)
connectome_payload  a brain network as bytes for the browser
connectome_view  matrix, brain and list of regions, linked by one selection (and its .js, .html, .css)
network_payload  a drawing of a network as bytes for the browser
network_view  units, links and maps that answer to the pointer (and its .html, .css, .js)
volume_facts  what is to be known of an image, as rows of a table
downloads     buttons that save figures, tables and volumes
glossary      terms linked to the sections of the review
frame         title, sentence and the research-use line of every page
forms         a form from the settings of a system
jobs          cards that watch a run or an import
rows          which examples are rows of tables, and what their columns are called
live_curves   curves that grow while a run trains
table_view    what a cohort of tables or of small pictures holds
series_view   what the time series of a cohort are
launch_form   from a system and a preset to a started run
bring         ways to get a cohort: upload, folder, phantom
regions_form  from 4-D images to time series of regions
cohort_view   what a cohort holds: numbers, problems, figures
split_editor  the split of a cohort, checked for leaks
starter       from nothing to a run that can show a certain thing, by one click
generate_view  chains step by step, samples of a class, one modality from the other
experiment_recipes  ready-made comparisons, and what one will take
experiment_words  what a comparison shows, as tables and sentences
experiment_form  the form of a new comparison
experiment_view  paired comparisons: watch and read
likelihood_view  likelihoods, the gap in free energy, posteriors under noise
segment_words  what segmentations say, as tables, files and sentences
segment_reads  segmented subjects, read once; the work that makes them
segment_view  one segmented subject: slices, surfaces, the network
segment_scores_view  how good a segmentation is: references, thresholds, a cohort, other runs
context_view  auto-context iteration by iteration, computed when asked for
votes_view    a clicked voxel and the atlas patches that vote for its label
segment_start  from nothing to a segmentation by one click
register_words  what registrations say, as tables and sentences
register_reads  registrations, read once; the work that makes them
register_form  which pair, by which method; two files of one's own
register_view  one registration: compared, its map, its correspondences
register_list  all registrations; several of one pair as Figure 6
unit_order    which hidden units to show, and in which order
filter_views  units, stack and reconstructions of a trained network
family_views  live networks, and a start for each family
regional_reads  what runs on regional signals show, read once
reference     networks and places of regions: the cohort's, or a table of the user
network_words  what is said of learned units: names, tables
    voxel_reference  the atlas that names networks of voxels
    voxel_maps_view  Figure 10 on voxels, and one unit on slices
    networks_view  Figure 10, and one network linked
state_numbers  paths of hidden states in numbers
states_view   hidden states: paths, transitions, patterns
diagnosis_words  what cross-validated scores show, as tables and sentences
diagnosis_view  scores of subjects, the ROC, methods beside the baseline, sparsity
regional_start  from nothing to functional networks, and the open tab
search        the similarity of every voxel to a clicked point, cached
run_table     the table of runs, and what can be done with one
comparison    two to six runs side by side
tour          "Try it": from nothing to a trained network by clicking only
"""
