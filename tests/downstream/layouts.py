"""How data sets lie on disk, what their tables and descriptions say, and which files belong together."""

import csv

import numpy as np
from PIL import Image

from trees import CT_LABELS, load, merged, middle, save, save_dicom, save_json, sequences
from user import Wrong, expect


def structures_in_files(user):
    """TotalSegmentator 8, 124, 350: a mask a structure, some empty, one that overlaps another; meta.csv gives the split"""
    rows, splits = [], {}
    for n in range(1, 13):
        image, labels, affine = load("ct", n)
        case, split = f"s{n:04d}", "train" if n < 9 else "val" if n < 11 else "test"
        save(user.cohort / case / "ct.nii.gz", image, affine)
        masks = {name: labels == value for value, name in CT_LABELS.items()}
        masks |= {"kidney_left": labels == 99, "heart": (labels == 3) | (labels == 5)}
        for name, mask in masks.items():
            save(user.cohort / case / "segmentations" / f"{name}.nii.gz", mask, affine, np.uint8)
        rows.append(f"{case};{50 + n};m;institute {n % 3};abdomen;{split}")
        splits[case] = split
    header = "image_id;age;gender;institute;study_type;split"
    (user.cohort / "meta.csv").write_text("\n".join([header, *rows]) + "\n")
    cases = user.init_and_curate("--structures", "heart*=heart,esoph*=oesophagus,spinal*=cord")
    cases.says("overlapping-structures")
    expect("splits", splits, cases.splits())
    expect("labels", ["heart", "oesophagus", "cord"], [cases.names[value] for value in cases.labels])
    return cases.summary()


def kidneys(user):
    """kits23 17, nnUNet 97: KiTS, with each annotator's instances beside the segmentation"""
    for n in range(1, 10):
        image, labels, affine = load("ct", n)
        case = user.cohort / "dataset" / f"case_{n - 1:05d}"
        labels = merged(labels, {1: 1, 2: 1, 3: 2, 5: 0 if n % 3 == 0 else 3})
        save(case / "imaging.nii.gz", image, affine)
        save(case / "segmentation.nii.gz", labels, affine, np.uint8)
        for annotation in (1, 2, 3):
            save(case / "instances" / f"kidney_instance-1_annotation-{annotation}.nii.gz", labels == 1, affine, np.uint8)
    save_json(user.cohort / "dataset" / "kits23.json", [{"case_id": f"case_{n:05d}"} for n in range(9)])
    cases = user.init_and_curate()
    expect("cases and patients", (9, 9), (len(cases.usable), len(cases.patients)))
    expect("names", {1: "kidney", 2: "tumour", 3: "cyst"}, cases.names)
    cases.says("label-absent")
    return cases.summary()


def official_validation(user):
    """nnUNet 1831, 1868, 2174, tutorials 1128: AMOS, with its validation cases, and CT and MR by number"""
    placed = [(n, n, "Tr" if n < 9 else "Va") for n in range(1, 11)]
    placed += [(n, 500 + n, "Tr" if n < 5 else "Va") for n in range(1, 7)] + [(11, 11, "Ts"), (7, 507, "Ts")]
    for number, ident, part in placed:
        image, labels, affine = load("ct" if ident < 500 else "mr", number)
        save(user.cohort / f"images{part}" / f"amos_{ident:04d}.nii.gz", image, affine)
        if part != "Ts":
            save(user.cohort / f"labels{part}" / f"amos_{ident:04d}.nii.gz", labels, affine, np.uint8)
    names = {"0": "background", **{str(value): name for value, name in CT_LABELS.items()}}
    save_json(user.cohort / "dataset.json", {"name": "AMOS", "modality": {"0": "CT"}, "tensorImageSize": "3D", "labels": names})
    user.refused(user.pdl, "curate", user.cohort, "--out", user.folder / "both", saying=["--modality"])
    cases = user.init_and_curate()
    expect("cases", 10, len(cases.usable))
    expect("splits", {f"amos_{n:04d}": "train" if n < 9 else "val" for n in range(1, 11)}, cases.splits())
    mr = user.curate("--modality", "MR", out=user.folder / "mr")
    expect("MR", 6, len(mr.usable))
    return cases.summary()


def masks_in_derivatives(user):
    """datasets 7886, 7904: BIDS with lesion masks in derivatives, two sessions of some, sites in participants.tsv"""
    save_json(user.cohort / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.8.0"})
    rows = []
    for n in range(1, 13):
        for session in (1, 2) if n % 3 == 0 else (1,):
            image, labels, affine = load("mr", n)
            image = image + np.random.default_rng(n * 10 + session).normal(0, 10, image.shape)
            folder, name = f"sub-{n:02d}/ses-{session:02d}/anat", f"sub-{n:02d}_ses-{session:02d}"
            save(user.cohort / folder / f"{name}_T1w.nii.gz", image, affine)
            save(user.cohort / folder / f"{name}_FLAIR.nii.gz", image * 0.5 + 3, affine)
            mask = user.cohort / "derivatives" / "manual_masks" / folder / f"{name}_space-T1w_label-lesion_mask.nii.gz"
            save(mask, labels == 3, affine, np.uint8)
        rows.append(f"sub-{n:02d}\t{'FM'[n % 2]}\tsite{n % 3}")
    (user.cohort / "participants.tsv").write_text("participant_id\tsex\tsite\n" + "\n".join(rows) + "\n")
    cases = user.init_and_curate("--stratify", "site")
    expect("cases and patients", (16, 12), (len(cases.usable), len(cases.patients)))
    expect("lesions", ["lesion"], list(cases.names.values()))
    of_patient = {}
    for row in cases.usable:
        of_patient.setdefault(row["patient_id"], set()).add(row["split"])
    expect("splits of a patient", 1, max(map(len, of_patient.values())))
    expect("sites", {"site0", "site1", "site2"}, {row["site"] for row in cases.usable})
    cases.says("images-unused")
    return cases.summary()


def numbered_files(user):
    """nnUNet 17, 941: LiTS, volume-N and segmentation-N in two folders, not compressed"""
    for n in range(1, 13):
        image, labels, affine = load("ct", n)
        batch = user.cohort / f"Training Batch {1 + n // 7}"
        save(batch / f"volume-{n - 1}.nii", image, affine)
        save(batch / f"segmentation-{n - 1}.nii", merged(labels, {1: 1, 2: 1, 3: 2}), affine, np.uint8)
    cases = user.init_and_curate()
    expect("cases", 12, len(cases.usable))
    wrong = [row["case_id"] for row in cases.usable if row["image"].split("-")[-1] != row["label"].split("-")[-1]]
    expect("pairs of two numbers", [], wrong)
    return cases.summary()


def dicom_with_nifti_masks(user):
    """TCIA Pancreas-CT, CHAOS: a DICOM series as image and NIfTI as label, named in a table"""
    rows = ["image,label,patient"]
    for n in range(1, 4):
        image, labels, affine = load("ct", n)
        save_dicom(user.cohort / f"c{n}" / "dicom", image, affine, n)
        save(user.cohort / f"c{n}" / "mask.nii.gz", labels, affine, np.uint8)
        rows.append(f"c{n}/dicom,c{n}/mask.nii.gz,c{n}")
    (user.cohort / "cohort.csv").write_text("\n".join(rows) + "\n")
    cases = user.curate(codes=(0, 1))
    expect("cases", 3, len(cases.usable))
    expect("labels", [1, 2, 3, 4, 5], cases.labels)
    return cases.summary()


def pictures(user):
    """nnUNet 1486, 1777: grey PNG in imagesTr and masks of 0 and 255 in labelsTr"""
    for n in range(1, 17):
        image, labels = middle(*load("ct", n)[:2])
        for part, voxels in (("images", np.clip((image.T + 1000) / 6, 0, 255)), ("labels", 255 * (labels.T == 3))):
            (user.cohort / f"{part}Tr").mkdir(exist_ok=True)
            name = f"img_{n:03d}_0000.png" if part == "images" else f"img_{n:03d}.png"
            Image.fromarray(voxels.astype(np.uint8)).save(user.cohort / f"{part}Tr" / name)
    names = {"background": 0, "heart": 1}
    save_json(user.cohort / "dataset.json", {"channel_names": {"0": "Xray"}, "labels": names, "file_ending": ".png"})
    cases = user.init_and_curate()
    expect("labels", [255], cases.labels)
    cases.says("labels-unknown", "pixel-size-assumed")
    merged_cases = user.curate("--structures", "255=heart", out=user.folder / "merged")
    expect("labels", {1: "heart"}, merged_cases.names)
    return cases.summary()


def flat_nifti(user):
    """nnUNet 1348, 1840: NIfTI of two axes, and of one slice"""
    for n in range(1, 17):
        image, labels = middle(*load("ct", n)[:2])
        extra = (..., None) if n % 2 else ...
        affine = np.diag([7.0, 7, 1, 1])
        save(user.cohort / "images" / f"c_{n:02d}.nii.gz", image[extra], affine)
        save(user.cohort / "labels" / f"c_{n:02d}.nii.gz", labels[extra], affine, np.uint8)
    cases = user.init_and_curate()
    expect("cases", 16, len(cases.usable))
    [predicted] = user.predict(user.train()[0], user.cohort / "images" / "c_02.nii.gz").values()
    expect("shape", load("ct", 2)[0].shape[:2], predicted.shape[:2])
    return cases.summary()


def images_without_labels(user):
    """nnUNet 451, 2338: eight labelled scans and sixteen without a label"""
    for n in range(1, 25):
        image, labels, affine = load("ct", n)
        save(user.cohort / "images" / f"c_{n:02d}.nii.gz", image, affine)
        if n < 9:
            save(user.cohort / "labels" / f"c_{n:02d}.nii.gz", labels, affine, np.uint8)
    cases = user.init_and_curate()
    expect("labelled and all", (8, 24), (len(cases.usable), len(cases.rows)))
    cases.says("no-label")
    user.run(user.pdl, "select", user.out, "--count", "3", "--to", user.folder / "next.csv")
    selected = [row["case_id"] for row in csv.DictReader((user.folder / "next.csv").open())]
    expect("selected, and labelled ones among them", (3, set()), (len(selected), set(selected) & set(cases.splits())))
    before = cases.splits()
    for n in (20, 21):
        save(user.cohort / "labels" / f"c_{n}.nii.gz", *load("ct", n)[1:], np.uint8)
    after = user.curate().splits()
    expect("splits that stay", before, {case: after[case] for case in before})
    expect("labelled", 10, len(after))
    return cases.summary()


def names_with_dots(user):
    """webdataset 288, datasets 7150: case names with dots"""
    for n in range(1, 10):
        image, labels, affine = load("ct", n)
        for part, voxels in (("images", image), ("labels", labels)):
            save(user.cohort / part / f"1.3.6.1.4.1.{n}.v2.nii.gz", voxels, affine)
    cases = user.init_and_curate()
    if any("." in row["case_id"] for row in cases.usable):
        raise Wrong("a case id holds a dot")
    user.run(user.pdl, "export", user.out, "--to", "webdataset", "--dest", user.folder / "shards")
    return cases.summary()


def lists_of_monai(user):
    """tutorials 1128: folds, a typing error in their key, a labelled test list, and a plain list"""
    for n in range(1, 13):
        image, labels, affine = load("ct", n)
        save(user.cohort / "i" / f"a_{n:02d}.nii.gz", image, affine)
        save(user.cohort / "l" / f"a_{n:02d}.nii.gz", labels, affine, np.uint8)

    def item(n):
        return {"image": f"i/a_{n:02d}.nii.gz", "label": f"l/a_{n:02d}.nii.gz"}

    lists = {
        "folds": {"training": [{**item(n), "fold": n % 5} for n in range(1, 11)], "testing": ["i/a_11.nii.gz"]},
        "tested": {"training": [item(n) for n in range(1, 8)], "validation": [item(8), item(9)], "testing": [item(10)]},
        "typo": {"training": [{**item(n), "fold:": n % 5} for n in range(1, 11)]},
        "plain": [item(n) for n in range(1, 11)],
    }
    found = {}
    for name, content in lists.items():
        save_json(user.cohort / f"{name}.json", content)
        found[name] = user.curate(cohort=user.cohort / f"{name}.json", out=user.folder / name)
        expect(f"cases of {name}", 10, len(found[name].usable))
    found["folds"].says("folds-given", "images-unused")
    found["typo"].says("folds-given")
    right = {**{f"a_{n:02d}": "train" for n in range(1, 8)}, "a_08": "val", "a_09": "val", "a_10": "test"}
    expect("splits", right, found["tested"].splits())
    return found["folds"].summary()


def folder_called_masks(user):
    """Mask_RCNN 3018 and many data sets of pictures: images/ and masks/, JPEG beside PNG"""
    for n in range(1, 17):
        image, labels = middle(*load("ct", n)[:2])
        grey = np.clip((image.T + 1000) / 6, 0, 255).astype(np.uint8)
        mask = (255 * (labels.T == 3)).astype(np.uint8)
        for folder, voxels, ending in (("images", grey, "jpg"), ("masks", mask, "png")):
            (user.cohort / folder).mkdir(exist_ok=True)
            Image.fromarray(voxels).save(user.cohort / folder / f"{n}.{ending}")
    cases = user.init_and_curate()
    expect("cases and labels", (16, [255]), (len(cases.usable), cases.labels))
    return cases.summary()


def folders_of_splits(user):
    """nnUNet 1864, 2060: train/, val/ and test/ with images and labels in each, or imagesVal beside imagesTr"""
    right = {f"c{n}": "train" if n < 6 else "val" if n < 8 else "test" for n in range(1, 10)}
    other = user.folder / "other"
    for n in range(1, 10):
        image, labels, affine = load("ct", n)
        split = right[f"c{n}"]
        end = {"train": "Tr", "val": "Val", "test": "Ts"}[split]
        for part, voxels in (("images", image), ("labels", labels)):
            save(user.cohort / split / part / f"c{n}.nii.gz", voxels, affine)
            save(other / f"{part}{end}" / f"c{n}.nii.gz", voxels, affine)
    cases = user.init_and_curate()
    expect("splits", right, cases.splits())
    expect("splits", right, user.curate(cohort=other, out=user.folder / "out-other").splits())
    return cases.summary()


def pictures_in_colour(user):
    """nnUNet 2077, 2404, 2942, DIGITS 1734: colour pictures of one file each, and their colours as files, are channels"""

    def put(name, voxels):
        path = user.cohort / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(voxels).save(path)

    pictures = {}
    for n in range(1, 17):
        image, labels = middle(*load("ct", n)[:2])
        grey = np.clip((image.T + 1000) / 6, 0, 255).astype(np.uint8)
        pictures[n] = np.stack([grey, grey // 2, 255 - grey], -1)
        opaque = np.full_like(pictures[n][..., :1], 255)
        put(f"imagesTr/a{n}_0000.png", np.concatenate([pictures[n], opaque], -1) if n % 2 else pictures[n])
        put(f"labelsTr/a{n}.png", (labels.T == 3).astype(np.uint8))
    description = {"channel_names": {"0": "Fundus"}, "labels": {"background": 0, "heart": 1}, "file_ending": ".png"}
    save_json(user.cohort / "dataset.json", description)
    user.refused(user.pdl, "curate", user.cohort, "--out", user.out, saying=["3 channels", "names 1 channel", "--frame"])
    description["channel_names"] = {"0": "R", "1": "G", "2": "B"}
    save_json(user.cohort / "dataset.json", description)
    whole = user.init_and_curate()
    expect("channels", ["R", "G", "B"], whole.channels)
    expect("cases", 16, len(whole.usable))
    run = user.train()[0]
    [predicted] = user.predict(run, user.cohort / "imagesTr" / "a1_0000.png").values()
    one = user.curate("--channel", "G", out=user.folder / "green")
    expect("channels", [], one.channels)
    user.predict(user.train(out=user.folder / "green")[0], user.cohort / "imagesTr" / "a1_0000.png")
    for n, picture in pictures.items():
        for colour in range(3):
            put(f"imagesTr/a{n}_{colour:04d}.png", np.ascontiguousarray(picture[..., colour]))
    apart = user.curate(out=user.folder / "apart")
    expect("channels", ["R", "G", "B"], apart.channels)
    hashes = [{row["case_id"]: row["images_blake3"] for row in user.prepared(out)} for out in (user.out, user.folder / "apart")]
    expect("prepared volumes", hashes[1], hashes[0])
    [again] = user.predict(run, *sorted((user.cohort / "imagesTr").glob("a1_*.png"))).values()
    expect("label maps are equal", True, np.array_equal(predicted.dataobj, again.dataobj))
    return whole.summary()


def labels_named_like_images(user):
    """nnUNet 231, 448, 820, 1644: label maps are called CASE_0000, as the images are, or differ in case and accents"""
    for n in range(1, 10):
        image, labels, affine = load("ct", n)
        names = [(f"M_{n}_0000", f"M_{n}_0000"), (f"Case{n}_0000", f"case{n}"), (f"Jo\u0308rg{n}", f"J\u00f6rg{n}")][n % 3]
        for part, voxels, name in zip(("imagesTr", "labelsTr"), (image, labels), names):
            save(user.cohort / part / f"{name}.nii.gz", voxels, affine)
    cases = user.init_and_curate()
    expect("cases", 9, len(cases.usable))
    return cases.summary()


def list_of_files_elsewhere(user):
    """MONAI 3212: the paths of a list are relative to another folder than its own"""
    image, labels, affine = load("ct", 1)
    save(user.cohort / "base" / "i" / "a.nii.gz", image, affine)
    save(user.cohort / "base" / "l" / "a.nii.gz", labels, affine, np.uint8)
    save_json(user.cohort / "list.json", {"training": [{"image": "i/a.nii.gz", "label": "l/a.nii.gz"}]})
    said = ["none of the files", "i/a.nii.gz", "relative to the folder"]
    user.refused(user.pdl, "curate", user.cohort / "list.json", "--out", user.out, saying=said)
    return "refused: none of the files that the list names is there"


def an_archive_without_labels(user):
    """fiftyone and dedup users: volumes of one kind in folders, and no label map anywhere"""
    for n in range(1, 11):
        save(user.cohort / f"scan{n:02d}" / "ct.nii.gz", *load("ct", n)[::2])
    save(user.cohort / "scan11" / "ct.nii.gz", *load("ct", 1)[::2])
    cases = user.init_and_curate()
    expect("unlabelled", 11, sum(row["status"] == "unlabelled" for row in cases.rows))
    cases.says("duplicate-image")
    user.run(user.pdl, "select", user.out, "--count", "3", "--to", user.folder / "next.csv")
    expect("selected", 3, len(list(csv.DictReader((user.folder / "next.csv").open()))))
    return cases.summary()


def folders_of_patients(user):
    """M&Ms-2: 001/001_SA_ED.nii.gz, ..., with label maps _gt: the folder is the patient"""
    for n in range(1, 9):
        image, labels, affine = load("mr", n)
        for view in ("SA_ED", "SA_ES"):
            name = user.cohort / "dataset" / f"{n:03d}" / f"{n:03d}_{view}"
            save(name.with_name(f"{name.name}.nii.gz"), image + np.random.default_rng(10 * n + view.count("D")).normal(0, 5, image.shape), affine)
            save(name.with_name(f"{name.name}_gt.nii.gz"), labels, affine, np.uint8)
    cases = user.init_and_curate()
    expect("patients", {f"{n:03d}" for n in range(1, 9)}, cases.patients)
    return cases.summary()


def one_image_and_one_segmentation_in_a_folder(user):
    """Slicer 6773, MONAI 5592: a folder a case, whose two files share no word, names of values in BIDS beside"""
    for n in range(1, 9):
        image, labels, affine = load("ct", n)
        save(user.cohort / f"case{n}" / "1 Unnamed Series.nii.gz", image, affine)
        save(user.cohort / f"case{n}" / "Segmentation-label.nii.gz", labels, affine, np.uint8)
    cases = user.init_and_curate()
    expect("cases", 8, len(cases.usable))
    bids = user.folder / "bids"
    save_json(bids / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.8.0"})
    for n in range(1, 9):
        image, labels, affine = load("mr", n)
        name = f"sub-{n:02d}"
        save(bids / name / "anat" / f"{name}_T1w.nii.gz", image, affine)
        save(bids / "derivatives" / "seg" / name / "anat" / f"{name}_desc-manual_dseg.nii.gz", labels, affine, np.uint8)
    lines = "".join(f"{value}\t{name}\n" for value, name in CT_LABELS.items())
    (bids / "derivatives" / "seg" / "desc-manual_dseg.tsv").write_text("index\tname\n" + lines)
    expect("names", CT_LABELS, user.curate(cohort=bids, out=user.folder / "out2").names)
    return cases.summary()


def phases_of_one_sequence(user):
    """CHAOS MR: T1DUAL has two DICOM series, in phase and out of phase, with one folder of masks"""
    for n in range(1, 6):
        image, labels, affine = load("mr", n)
        case = user.cohort / "MR" / str(n) / "T1DUAL"
        for number, (phase, voxels) in enumerate(zip(("InPhase", "OutPhase"), sequences(image, labels, n, 2)), 1):
            folder, name = case / "DICOM_anon" / phase, "IMG-0004-{:05d}.dcm"
            save_dicom(folder, voxels, affine, n, modality="MR", series=number, descending=False, name=name)
        (case / "Ground").mkdir()
        for place in range(labels.shape[2]):
            mask = merged(labels[:, :, place].T, {1: 63, 2: 126, 3: 189, 4: 252})
            Image.fromarray(mask).save(case / "Ground" / f"IMG-0004-{place:05d}.png")
    cases = user.init_and_curate()
    expect("channels", ["InPhase", "OutPhase"], cases.channels)
    expect("cases", 5, len(cases.usable))
    expect("labels", ["liver", "right kidney", "left kidney", "spleen"], list(cases.names.values()))
    return cases.summary()


def folders_that_are_not_read(user):
    """FLARE, nnUNet 1986: images without labels in a folder of their own, predictions beside, files of other formats"""
    for n in range(1, 9):
        image, labels, affine = load("ct", n)
        save(user.cohort / "images" / f"case_{n:04d}_0000.nii.gz", image, affine)
        for folder in ("labels", "predictions"):
            save(user.cohort / folder / f"case_{n:04d}.nii.gz", labels, affine, np.uint8)
    save(user.cohort / "unlabeled" / "case_0009_0000.nii.gz", *load("ct", 9)[::2])
    cases = user.init_and_curate()
    told = [finding["message"] for finding in cases.findings if finding["code"] == "images-unused"]
    if len(told) != 1 or "predictions (8 volumes), unlabeled (1 volume)" not in told[0]:
        raise Wrong(f"it does not name the folders: {told}")
    arrays = user.folder / "arrays"
    (arrays / "images").mkdir(parents=True)
    np.savez(arrays / "images" / "a.npz", image=np.zeros(3))
    user.refused(user.pdl, "init", arrays, "--out", user.folder / "o", saying=["formats that are not read: .npz (1)"])
    return cases.summary()
