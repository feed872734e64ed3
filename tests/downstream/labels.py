"""What labels mean: ignored voxels, odd values, negatives, absent and unknown structures."""

import nibabel as nib
import numpy as np
from PIL import Image
from scipy.ndimage import zoom

from trees import load, merged, middle, save, save_json
from user import Wrong, expect, values


def folders(user, count, change, modality="ct", dtype=np.uint8):
    """images/ and labels/ of `count` cases; `change` gives number, image, labels and affine of each anew."""
    for n in range(1, count + 1):
        image, labels, affine = change(n, *load(modality, n))
        save(user.cohort / "images" / f"c_{n:02d}.nii.gz", image, affine)
        save(user.cohort / "labels" / f"c_{n:02d}.nii.gz", labels, affine, dtype)


def ignored_voxels(user):
    """nnUNet 760, 1926, 2567, 2837: three of four slices are not annotated and bear the label ignore"""
    for n in range(1, 10):
        image, labels, affine = load("ct", n)
        labels = merged(labels, {1: 1, 2: 1, 3: 2})
        labels[:, :, np.arange(labels.shape[2]) % 4 != 0] = 3
        save(user.cohort / "imagesTr" / f"c_{n:03d}_0000.nii.gz", image, affine)
        save(user.cohort / "labelsTr" / f"c_{n:03d}.nii.gz", labels, affine, np.uint8)
    names = {"background": 0, "lung": 1, "heart": 2, "ignore": 3}
    save_json(user.cohort / "dataset.json", {"channel_names": {"0": "CT"}, "labels": names, "file_ending": ".nii.gz"})
    cases = user.curate()
    cases.says("label-ignored")
    expect("labels", {1: "lung", 2: "heart"}, cases.names)
    run = user.train()[0]
    [predicted] = user.predict(run, user.cohort / "imagesTr" / "c_001_0000.nii.gz").values()
    if 3 in values(predicted):
        raise Wrong("the label ignore is predicted")
    for row in user.evaluation(run):
        labels = nib.load(user.cohort / "labelsTr" / f"{row['case_id']}.nii.gz")
        predicted = np.asarray(nib.load(run / "predictions" / "val" / f"{row['case_id']}.nii.gz").dataobj)
        annotated = np.asarray(labels.dataobj) != 3
        millilitres = np.abs(np.linalg.det(labels.affine)) / 1000 * (annotated & (predicted == row["label"])).sum()
        if abs(millilitres - row["predicted_ml"]) > 0.01 * millilitres + 0.01:
            raise Wrong(f"{row['name']}: {row['predicted_ml']:.1f} ml count, {millilitres:.1f} ml are where it is annotated")
    return cases.summary()


def values_with_gaps(user):
    """nnUNet 2500: the values are 2, 3, 4, 5 and 40, and dataset.json names 1 to 4"""
    folders(user, 9, lambda n, image, labels, affine: (image, merged(labels, {1: 2, 2: 3, 3: 4, 4: 5, 5: 40}), affine))
    names = {"background": 0, "Segment_2": 1, "Segment_3": 2, "Segment_4": 3, "Segment_5": 4}
    save_json(user.cohort / "dataset.json", {"channel_names": {"0": "CT"}, "labels": names})
    cases = user.curate()
    expect("labels", [2, 3, 4, 5, 40], cases.labels)
    cases.says("labels-unknown")
    return cases.summary()


def numbers_between_labels(user):
    """nnUNet 1007, 1183, 2868, petprep 152: label maps of floats: nearly whole, scaled, interpolated, probabilities, other"""

    def change(n, image, labels, affine):
        labels = labels.astype(np.float32)
        if n == 1:
            labels *= np.float32(0.99999994)
        elif n == 2:
            small = zoom(labels, 0.5, order=1)
            labels = zoom(small, np.array(labels.shape) / np.array(small.shape), order=1)
        elif n == 3:
            labels = np.where(labels == 3, 0.93, 0)
        elif n == 4:
            labels = np.where(labels == 0, -1, labels)
        elif n == 5:
            labels = image
        elif n == 7:
            labels = np.where(labels == 5, 70000, labels)
        return image, labels, affine

    folders(user, 12, change, dtype=np.float32)
    _, labels, affine = load("ct", 6)
    scaled = nib.Nifti1Image((labels * 10).astype(np.int16), affine)
    scaled.header.set_slope_inter(0.1, 0)
    nib.save(scaled, user.cohort / "labels" / "c_06.nii.gz")
    cases = user.curate()
    expect("rejected", ["c_02", "c_03", "c_04", "c_05", "c_07"], cases.rejected)
    cases.says("label-rounded", "unreadable-label")
    expect("labels", [1, 2, 3, 4, 5], cases.labels)
    return cases.summary()


def negatives_on_purpose(user):
    """nnUNet 1460, 2767, 2931, MONAI 6576: eight of 24 patients have the finding, the others were searched and have none"""
    folders(user, 24, lambda n, image, labels, affine: (image, (labels == 3) & (n % 3 == 0), affine))
    cases = user.curate()
    expect("cases", 24, len(cases.usable))
    cases.says("label-absent")
    rows = user.evaluation(user.train()[0])
    if not any(row["drawn_ml"] == 0 and row["annotated"] for row in rows):
        raise Wrong("no negative is in the validation table")
    return cases.summary()


def truly_absent(user):
    """nnUNet 492, 2438, 2517, MONAI 7504: half of the cases have no tumour, and were looked through for one"""

    def change(n, image, labels, affine):
        labels = merged(labels, {1: 1, 2: 1, 3: 2})
        if n % 2 == 0:
            image[labels == 2] = np.random.default_rng(n).normal(-100, 12, int((labels == 2).sum()))
            labels[labels == 2] = 0
        return image, labels, affine

    folders(user, 24, change)
    save_json(user.cohort / "dataset.json", {"labels": {"0": "background", "1": "liver", "2": "tumour"}, "modality": {"0": "CT"}})
    cases = user.curate()
    cases.says("label-absent")
    expect("looked for", {(1, 2)}, {tuple(row["labels_annotated"]) for row in cases.usable})
    rows = user.evaluation(user.train(steps=60)[0])
    without = [row for row in rows if row["name"] == "tumour" and row["drawn_ml"] == 0]
    if not without or any(row["predicted_ml"] > 0 and row["dice"] != 0 for row in without):
        raise Wrong("a false positive tumour does not count as wrong")
    return cases.summary()


def unknown_structures(user):
    """nnUNet 300, 1683, 2517: source A has drawn lungs, source B hearts; nobody looked for the others"""
    rows = ["image,label,patient,modality,source"]
    for n in range(1, 17):
        image, labels, affine = load("ct", n)
        labels = merged(labels, {1: 1, 2: 2} if n % 2 else {3: 3})
        save(user.cohort / "i" / f"c_{n:02d}.nii.gz", image, affine)
        save(user.cohort / "l" / f"c_{n:02d}.nii.gz", labels, affine, np.uint8)
        rows.append(f"i/c_{n:02d}.nii.gz,l/c_{n:02d}.nii.gz,p{n},CT,{'BA'[n % 2]}")
    (user.cohort / "cohort.csv").write_text("\n".join(rows) + "\n")
    cases = user.curate()
    told = [finding["message"] for finding in cases.findings if finding["code"].startswith("label-absent")]
    if not any("--annotated" in message for message in told):
        raise Wrong(f"it does not name --annotated: {told}")
    cases = user.curate("--annotated", "by-source")
    looked_for = {tuple(row["labels_annotated"]) for row in cases.usable}
    expect("looked for", {(1, 2), (3,)}, looked_for)
    rows = user.evaluation(user.train()[0])
    if any(row["dice"] is not None and not row["annotated"] for row in rows):
        raise Wrong("a structure that nobody looked for has a Dice")
    return cases.summary()


def few_voxels(user):
    """nnUNet 1754, 3048: a structure of one to eight voxels, as bright as its vessel"""

    def change(n, image, labels, affine):
        drawn = np.zeros_like(labels)
        place = np.argwhere(labels == 4)
        drawn[tuple(slice(at, at + (2 if n % 2 else 1)) for at in place[len(place) // 2])] = 1
        image[drawn == 1] = np.random.default_rng(n).uniform(120, 280, int(drawn.sum()))
        return image, drawn, affine

    folders(user, 24, change)
    cases = user.curate()
    expect("cases", 24, len(cases.usable))
    lost = [row["case_id"] for row in user.prepared() if row["labels"][0]["voxels"] == 0]
    if lost and "label-vanished" not in user.said:
        raise Wrong(f"{len(lost)} cases lose the structure, and it does not say so")
    user.train()
    return cases.summary()


def masks_that_were_resized(user):
    """nnUNet 1678, 2404: masks of 0 and 255 that were resized or stored as JPEG have all values between"""
    for n in range(1, 9):
        image, labels = middle(*load("ct", n)[:2])
        mask = Image.fromarray((255 * (labels.T == 3)).astype(np.uint8))
        for folder, picture in (
            ("images", Image.fromarray(np.clip((image.T + 1000) / 6, 0, 255).astype(np.uint8))),
            ("masks", mask.resize((200, 200), Image.BILINEAR).resize(mask.size, Image.BILINEAR)),
        ):
            (user.cohort / folder).mkdir(exist_ok=True)
            picture.save(user.cohort / folder / f"{n}.png")
    user.refused(user.pdl, "curate", user.cohort, "--out", user.out, saying=["was resized", "--structures 255=NAME"])
    cases = user.curate("--structures", "255=heart", out=user.folder / "whole")
    expect("labels", {1: "heart"}, cases.names)
    return cases.summary()


def a_volume_for_each_structure(user):
    """MONAI AsDiscrete, nnUNet 3D: one-hot label maps of four axes, and a mask of each instance beside a picture (DSB 2018)"""
    folders(user, 6, lambda n, image, labels, affine: (image, np.stack([labels == k for k in range(1, 6)], -1), affine))
    user.refused(user.pdl, "curate", user.cohort, "--out", user.out, saying=["it has 5 volumes", "label_NAME"])
    pictures = user.folder / "pictures"
    for n in range(1, 7):
        image, labels = middle(*load("ct", n)[:2])
        case = pictures / f"id{n}"
        (case / "masks").mkdir(parents=True)
        Image.fromarray(np.clip((image.T + 1000) / 6, 0, 255).astype(np.uint8)).save(case / "image.png")
        for k in (1, 2, 3):
            Image.fromarray((255 * (labels.T == k)).astype(np.uint8)).save(case / "masks" / f"m{k}.png")
    table = "".join(f"id{n}/image.png,id{n}/masks\n" for n in range(1, 7))
    (pictures / "cohort.csv").write_text("image,label\n" + table)
    user.refused(user.pdl, "curate", pictures, "--out", user.folder / "out2", saying=["label a folder of 3", "one label map"])
    return "refused: one label map is expected, and how to give it"
