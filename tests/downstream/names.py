"""Patients, splits, structures and partners that names of files, folders and columns state."""

import numpy as np
from PIL import Image

from trees import CT_LABELS, load, merged, save, save_json, save_nrrd, sequences
from user import Wrong, expect


def noisy(image, *seed):
    return image + np.random.default_rng(seed).normal(0, 12, image.shape)


def in_one_split(cases, patient):
    """No patient, as `patient` finds it in a case id, stands in two splits."""
    splits = {}
    for row in cases.rows:
        splits.setdefault(patient(row["case_id"]), set()).add(row["split"])
    torn = {name: found for name, found in splits.items() if len(found) > 1}
    if torn:
        raise Wrong(f"patients in two splits: {torn}")
    expect("patients", len(splits), len(cases.patients))


def visits_in_names(user):
    """nnUNet 1871, 2688, ACDC: visits and frames of a patient by the names of the files in images/ or imagesTr/"""
    frames = user.folder / "frames"
    for n in range(1, 9):
        for visit in (1, 2):
            image, labels, affine = load("mr", n)
            image = noisy(image, n, visit) + 60 * np.random.default_rng([n, visit]).normal(0, 1, image.shape)
            names = [(user.cohort, "images", "labels", f"HC{n:02d}_visit{visit}")]
            names.append((frames, "imagesTr", "labelsTr", f"patient{n:03d}_frame{9 * visit:02d}"))
            for root, images, masks, name in names:
                save(root / images / f"{name}{'_0000' if images == 'imagesTr' else ''}.nii.gz", image, affine)
                save(root / masks / f"{name}.nii.gz", labels, affine, np.uint8)
    cases = user.init_and_curate()
    cases.says("patient-by-name")
    in_one_split(cases, lambda case: case[:4])
    in_one_split(user.curate(cohort=frames, out=user.folder / "out2"), lambda case: case[:10])
    return cases.summary()


def visits_that_no_name_states(user):
    """nnUNet 1871: genius_0800, genius_0801, genius_0802 are visits of few patients, who all have several"""
    for n in range(1, 6):
        for visit in range(3):
            image, labels, affine = load("ct", n)
            save(user.cohort / "imagesTr" / f"genius_{n:02d}{visit:02d}_0000.nii.gz", noisy(image, n, visit), affine)
            save(user.cohort / "labelsTr" / f"genius_{n:02d}{visit:02d}.nii.gz", labels, affine, np.uint8)
    cases = user.init_and_curate()
    in_one_split(cases, lambda case: case[:9])
    return cases.summary()


def slices_as_pictures(user):
    """nnUNet 1486, LGG of Kaggle: slices of volumes as 2-D images, in folders of their own or beside their masks"""
    beside = user.folder / "kaggle_3m"
    for n in range(1, 9):
        image, labels, _ = load("ct", n)
        for place in (12, 15, 18):
            grey = np.clip((image[:, :, place].T + 1000) / 6, 0, 255).astype(np.uint8)
            mask = (255 * (labels[:, :, place].T == 1)).astype(np.uint8)
            study = f"TCGA_CS_{4940 + n}_1996090{n}"
            files = {user.cohort / "images" / f"volume-{n}_slice_{place:03d}.png": grey}
            files[user.cohort / "masks" / f"volume-{n}_slice_{place:03d}.png"] = mask
            files[beside / study / f"{study}_{place}.tif"] = grey
            files[beside / study / f"{study}_{place}_mask.tif"] = mask
            for path, voxels in files.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(voxels).save(path)
    user.refused(user.pdl, "curate", user.cohort, "--out", user.folder / "o", saying=["images/ has single slices"])
    cases = user.init_and_curate()
    expect("cases", 24, len(cases.usable))
    in_one_split(cases, lambda case: case.split("_")[0])
    user.cohort, user.out = beside, user.folder / "out2"
    others = user.init_and_curate()
    expect("cases", 24, len(others.usable))
    in_one_split(others, lambda case: case[:12])
    return cases.summary()


def masks_of_structures_as_pictures(user):
    """Montgomery: X-rays as PNG, with a mask of 0 and 255 for each lung in folders of their own"""
    for n in range(1, 13):
        image, labels, _ = load("ct", n)
        grey = np.clip((image[:, :, 15].T + 1000) / 6, 0, 255).astype(np.uint8)
        files = {"CXR_png": grey}
        for value, folder in ((1, "leftMask"), (2, "rightMask")):
            files[folder] = (255 * (labels[:, :, 15].T == value)).astype(np.uint8)
        for folder, pixels in files.items():
            (user.cohort / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(user.cohort / folder / f"MCUCXR_{n:04d}_0.png")
    cases = user.init_and_curate()
    expect("labels", {1: "left", 2: "right"}, cases.names)
    for n in (1, 12):
        _, labels, _ = load("ct", n)
        counts = [int((labels[:, :, 15] == value).sum()) for value in (1, 2)]
        row = next(row for row in cases.rows if row["case_id"] == f"MCUCXR_{n:04d}_0")
        expect("pixels of the lungs", counts, [label["voxels"] for label in row["labels"]])
    return cases.summary()


def folders_of_splits_in_known_layouts(user):
    """VerSe, KiTS, TotalSegmentator 511: train/, test/ and dataset-01training/ around folders of cases"""
    structures, verse = user.folder / "structures", user.folder / "verse"
    for n in range(1, 11):
        image, labels, affine = load("ct", n)
        split = "train" if n < 7 else "val" if n < 9 else "test"
        held_out = "test" if n > 7 else "train"
        save(user.cohort / split / f"case_{n:05d}" / "imaging.nii.gz", image, affine)
        save(user.cohort / split / f"case_{n:05d}" / "segmentation.nii.gz", labels, affine, np.uint8)
        save(structures / held_out / f"s{n:04d}" / "ct.nii.gz", image, affine)
        for value, name in CT_LABELS.items():
            save(structures / held_out / f"s{n:04d}" / "segmentations" / f"{name}.nii.gz", labels == value, affine, np.uint8)
        part = verse / {"train": "dataset-01training", "val": "dataset-02validation", "test": "dataset-03test"}[split]
        sub = f"sub-verse{500 + n}"
        save(part / "rawdata" / sub / f"{sub}_ct.nii.gz", image, affine)
        save(part / "derivatives" / sub / f"{sub}_seg-vert_msk.nii.gz", labels, affine, np.uint8)
    right = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    cases = user.init_and_curate()
    expect("splits", right, [cases.splits()[f"case_{n:05d}"] for n in range(1, 11)])
    of_verse = user.curate(cohort=verse, out=user.folder / "out2").splits()
    expect("splits", right, [of_verse[f"sub-verse{500 + n}"] for n in range(1, 11)])
    drawn = user.curate(cohort=structures, out=user.folder / "out3").splits()
    expect("test", {f"s{n:04d}" for n in range(8, 11)}, {case for case, split in drawn.items() if split == "test"})
    expect("drawn from the others", {"train", "val"}, {drawn[f"s{n:04d}"] for n in range(1, 8)})
    return cases.summary()


def names_of_columns(user):
    """pandas, Kaggle, Hugging Face: tables that call the patient subject_id, and the split set, or state folds"""
    for n in range(1, 11):
        image, labels, affine = load("ct", n)
        save(user.cohort / "i" / f"c_{n:02d}.nii.gz", image, affine)
        save(user.cohort / "l" / f"c_{n:02d}.nii.gz", labels, affine, np.uint8)

    def curate(name, header, cell):
        rows = [f"i/c_{n:02d}.nii.gz,l/c_{n:02d}.nii.gz,{cell(n)}\n" for n in range(1, 11)]
        (user.cohort / f"{name}.csv").write_text(f"image,label,{header}\n" + "".join(rows))
        return user.curate(cohort=user.cohort / f"{name}.csv", out=user.folder / name)

    for number, header in enumerate(("subject_id", "PatientID", "Subject", "patient id")):
        expect(header, 6, len(curate(f"p{number}", header, lambda n: f"q{n // 2}").patients))
    right = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    for header in ("set", "Subset", "partition"):
        cases = curate(header, header, lambda n: right[n - 1].upper())
        expect(header, right, list(cases.splits().values()))
    cases = curate("folds", "patient,fold", lambda n: f"q{n},{n % 3}")
    cases.says("folds-given")
    flags = ["--test-share", "0", "--plan-from", "outside-test"]
    user.curate(*flags, cohort=user.cohort / "folds.csv", out=user.folder / "folds2")
    user.run(user.pdl, "rank", user.folder / "folds2", "--group-by", "fold")
    for fold in range(3):
        rows = user.manifest(user.folder / "folds2" / "folds" / str(fold))
        held_out = {row["case_id"] for row in rows if row["split"] == "val"}
        expect(f"fold {fold}", {f"c_{n:02d}" for n in range(1, 11) if n % 3 == fold}, held_out)
    return cases.summary()


def masks_of_annotators(user):
    """ISBI 2015, QUBIQ: mask1 and mask2 of two raters, beside the image or in labels/rater1/ and labels/rater2/"""
    inner = user.folder / "inner"
    for n in range(1, 5):
        image, labels, affine = load("mr", n)
        save(user.cohort / f"training{n:02d}_flair_pp.nii", image, affine)
        save(inner / "images" / f"c{n}.nii.gz", image, affine)
        for rater in (1, 2):
            mask = np.roll(labels == 3, rater, 0)
            save(user.cohort / "masks" / f"training{n:02d}_mask{rater}.nii", mask, affine, np.uint8)
            save(inner / "labels" / f"rater{rater}" / f"c{n}.nii.gz", mask, affine, np.uint8)
    user.refused(user.pdl, "init", user.cohort, "--out", user.out, saying=["several label maps", "training01_mask1.nii"])
    user.refused(user.pdl, "curate", inner, "--out", user.out, saying=["folders of their own (rater1, rater2)"])
    user.refused(user.pdl, "init", inner, "--out", user.out, saying=["rater1"])
    return "refused: several label maps for one image"


def files_of_one_name_in_folders(user):
    """LUNA16, PI-CAI, nnUNet 2404: a folder for each sequence, structure or site, and label maps in a folder of theirs"""
    picai, luna, organs = user.folder / "picai", user.folder / "luna", user.folder / "organs"
    for n in range(1, 7):
        image, labels, affine = load("mr", n)
        kinds = dict(zip(("t2w", "adc", "hbv"), sequences(image, labels, n, 3)))
        for kind, voxels in kinds.items():
            save(user.cohort / kind.upper() / f"{n:03d}.nii.gz", voxels, affine)
            save(picai / "images" / f"{10000 + n // 2}" / f"{10000 + n // 2}_{1000000 + n}_{kind}.nii.gz", voxels, affine)
        save(user.cohort / "seg" / f"{n:03d}.nii.gz", labels, affine, np.uint8)
        save(picai / "labels" / "human_expert" / f"{10000 + n // 2}_{1000000 + n}.nii.gz", labels, affine, np.uint8)
        save(luna / f"subset{n % 3}" / f"1.3.6.1.{n}.nii.gz", image, affine)
        save(luna / "seg-lungs-LUNA16" / f"1.3.6.1.{n}.nii.gz", labels, affine, np.uint8)
        save(organs / "images" / f"{n:03d}.nii.gz", image, affine)
        for value, name in ((1, "left_lung"), (3, "heart")):
            save(organs / "labels" / name / f"{n:03d}.nii.gz", labels == value, affine, np.uint8)
    voxels = [int((load("mr", n)[1] == 3).sum()) for n in range(1, 7)]
    channels = {user.cohort: ["t2w", "adc", "hbv"], picai: ["t2w", "adc", "hbv"], luna: [], organs: []}
    summaries = []
    for root, right in channels.items():
        user.cohort, user.out = root, user.folder / f"out-{root.name}"
        cases = user.init_and_curate()
        expect(f"cases and channels of {root.name}", (6, right), (len(cases.usable), cases.channels))
        heart = next((value for value, name in cases.names.items() if name == "heart"), 3)
        found = [label["voxels"] for row in cases.usable for label in row["labels"] if label["value"] == heart]
        expect(f"voxels of {root.name}", sorted(voxels), sorted(found))
        summaries.append(cases.summary())
    return summaries[0]


def structures_of_several_words(user):
    """HaN-Seg, MM-WHS: case_01_OAR_A_Carotid_L.seg.nrrd and others beside images of two kinds; ct_ and mr_ of one number"""
    names = {1: "A_Carotid_L", 2: "A_Carotid_R", 3: "Brainstem", 4: "Glnd_Lacrimal_L", 5: "Lips"}
    both = user.folder / "both"
    for n in range(1, 7):
        image, labels, affine = load("ct", n)
        case = user.cohort / "set_1" / f"case_{n:02d}"
        save_nrrd(case / f"{case.name}_IMG_CT.nrrd", image.astype(np.int16), affine)
        for value, name in names.items():
            save_nrrd(case / f"{case.name}_OAR_{name}.seg.nrrd", (labels == value).astype(np.uint8), affine)
        for modality in ("ct", "mr"):
            image, labels, affine = load(modality, n)
            labels = merged(labels.astype(np.uint16), {1: 500, 3: 600})
            name = both / f"{modality}_train" / f"{modality}_train_{1000 + n}"
            save(name.with_name(f"{name.name}_image.nii.gz"), image, affine)
            save(name.with_name(f"{name.name}_label.nii.gz"), labels, affine, np.uint16)
    cases = user.init_and_curate()
    expect("structures", sorted(name.lower() for name in names.values()), sorted(cases.names.values()))
    expect("voxels", int((load("ct", 1)[1] == 4).sum()), of(cases, 0, "glnd_lacrimal_l"))
    user.cohort, user.out = both, user.folder / "out2"
    others = user.init_and_curate("--modality", "MR")
    expect("cases and labels", (12, [500, 600]), (len(others.usable), others.labels))
    return cases.summary()


def of(cases, number, name):
    """Voxels of a label of a case."""
    value = next(value for value, known in cases.names.items() if known == name)
    return next(label["voxels"] for label in cases.usable[number]["labels"] if label["value"] == value)


def label_map_beside_its_masks(user):
    """AbdomenAtlas: ct.nii.gz, combined_labels.nii.gz and segmentations/; meta.csv beside a layout that does not read it"""
    whole = user.folder / "whole"
    for n in range(1, 7):
        image, labels, affine = load("ct", n)
        case = user.cohort / f"BDMAP_{n:08d}"
        save(case / "ct.nii.gz", image, affine)
        save(case / "combined_labels.nii.gz", labels, affine, np.uint8)
        for value, name in CT_LABELS.items():
            save(case / "segmentations" / f"{name}.nii.gz", labels == value, affine, np.uint8)
        save(whole / f"s{n:04d}" / "ct.nii.gz", image, affine)
        save(whole / f"s{n:04d}" / "segmentations.nii.gz", labels, affine, np.uint8)
    (whole / "meta.csv").write_text("image_id;split\ns0001;test\n")
    cases = user.init_and_curate()
    expect("structures", sorted(CT_LABELS.values()), sorted(cases.names.values()))
    told = [finding["message"] for finding in cases.findings if finding["code"] == "files-unused"]
    if len(told) != 1 or "6 label maps beside" not in told[0]:
        raise Wrong(f"it does not count the label maps that are not used: {told}")
    user.curate(cohort=whole, out=user.folder / "out2").says("files-unused")
    return cases.summary()


def lists_that_say_otherwise(user):
    """Decathlon, MONAI 5592: dataset.json lists other cases than the folders have; a datalist of other keys in a folder"""
    lists = user.folder / "lists"
    for n in range(1, 10):
        image, labels, affine = load("ct", n)
        save(user.cohort / "imagesTr" / f"liver_{n}.nii.gz", image, affine)
        save(user.cohort / "labelsTr" / f"liver_{n}.nii.gz", labels, affine, np.uint8)
        save(lists / "i" / f"c_{n}.nii.gz", image, affine)
        save(lists / "l" / f"c_{n}.nii.gz", labels, affine, np.uint8)
    names = {"0": "background", **{str(value): name for value, name in CT_LABELS.items()}}
    listed = [{"image": f"./imagesTr/liver_{n}.nii.gz", "label": f"./labelsTr/liver_{n}.nii.gz"} for n in (*range(1, 8), 99)]
    save_json(user.cohort / "dataset.json", {"modality": {"0": "CT"}, "labels": names, "training": listed, "test": []})
    cases = user.init_and_curate()
    told = next((finding["message"] for finding in cases.findings if finding["code"] == "files-unused"), "")
    if "1 case of the list not there, 2 cases there" not in told:
        raise Wrong(f"it does not say how the list differs: {told}")
    doubly = {name: int(value) for value, name in names.items()} | {"left": 1}
    save_json(user.cohort / "dataset.json", {"channel_names": {"0": "CT"}, "labels": doubly})
    twice = user.curate(out=user.folder / "out3")
    if not any("1 has the names" in finding["message"] for finding in twice.findings):
        raise Wrong("it does not say that a label has two names")
    items = [{"image": f"i/c_{n}.nii.gz", "label": f"l/c_{n}.nii.gz"} for n in range(1, 10)]
    save_json(lists / "list.json", {"train": items[:6], "val": items[6:8], "test": items[8:]})
    user.refused(user.pdl, "init", lists, "--out", user.folder / "o", saying=["A MONAI datalist in it is a cohort by itself"])
    right = ["train"] * 6 + ["val"] * 2 + ["test"]
    expect("splits", right, list(user.curate(cohort=lists / "list.json", out=user.folder / "out2").splits().values()))
    items[0]["label"] = ["l/c_1.nii.gz", "l/c_2.nii.gz"]
    save_json(lists / "two.json", {"training": items})
    words = ["expected one label map, found a list of 2", "label_liver"]
    user.refused(user.pdl, "curate", lists / "two.json", "--out", user.folder / "o", saying=words)
    return cases.summary()
