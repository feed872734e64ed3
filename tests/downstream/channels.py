"""Several images a case: by folder, by name, in one file, on other grids, in lists."""

import numpy as np
import pydicom
from scipy.ndimage import zoom

from trees import load, merged, save, save_dicom, save_json, sequences
from user import Wrong, expect, values


def four_sequences(user):
    """nnUNet 1952, 2316, 3042: BraTS, a folder a patient with four sequences and labels 1, 2, 4"""
    for n in range(1, 10):
        image, labels, affine = load("mr", n)
        case = f"BraTS2021_{n:05d}"
        for kind, voxels in zip(("t1", "t1ce", "t2", "flair"), sequences(image, merged(labels, {1: 1, 2: 2, 4: 3}), n, 4)):
            save(user.cohort / case / f"{case}_{kind}.nii.gz", voxels, affine)
        save(user.cohort / case / f"{case}_seg.nii.gz", merged(labels, {3: 2, 5: 1, 4: 4}), affine, np.uint8)
    cases = user.init_and_curate()
    expect("channels", ["t1", "t1ce", "t2", "flair"], cases.channels)
    expect("labels", [1, 2, 4], cases.labels)
    images = user.cohort / "BraTS2021_00001"
    [predicted] = user.predict(user.train()[0], images).values()
    if set(values(predicted)) - {1, 2, 4}:
        raise Wrong(f"labels of predictions: {values(predicted)}")
    one = user.curate("--channel", "flair", out=user.folder / "one")
    expect("channels", [], one.channels)
    return cases.summary()


def channels_in_one_file(user):
    """nnUNet 373, 2593, 2762: Decathlon's brain tumours, x, y, z and 4, with images without labels in imagesTs"""
    names = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    for n in range(1, 12):
        image, labels, affine = load("mr", n)
        name, part = f"BRATS_{n:03d}.nii.gz", "Tr" if n < 10 else "Ts"
        save(user.cohort / f"images{part}" / name, np.stack(sequences(image, labels, n, 4), -1), affine, np.float32)
        if n < 10:
            save(user.cohort / "labelsTr" / name, merged(labels, {3: 1, 5: 2, 4: 3}), affine, np.uint8)
    labels = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
    save_json(user.cohort / "dataset.json", {"name": "BRATS", "tensorImageSize": "4D", "modality": names, "labels": labels})
    cases = user.init_and_curate()
    expect("channels", list(names.values()), cases.channels)
    expect("names", {1: "edema", 2: "non-enhancing tumor", 3: "enhancing tumour"}, cases.names)
    predicted = user.predict(user.train()[0], user.cohort / "imagesTs")
    expect("predicted", ["BRATS_010", "BRATS_011"], list(predicted))
    return cases.summary()


def pet_on_a_coarser_grid(user):
    """blast-ct 10, nnUNet 1059: HECKTOR, CT with the labels' grid and PET on another"""
    for n in range(1, 10):
        image, labels, affine = load("ct", n)
        labels = merged(labels, {3: 1, 5: 2})
        noise = np.random.default_rng(n).gamma(2, 0.4, image.shape)
        pet = zoom(noise + 4 * (labels == 1), 0.5, order=1)
        coarse = affine.copy()
        coarse[:3, :3] *= np.array(image.shape) / np.array(pet.shape)
        case = f"{'CHUM' if n % 2 else 'CHUS'}-{n:03d}"
        save(user.cohort / "imagesTr" / f"{case}__CT.nii.gz", image, affine)
        save(user.cohort / "imagesTr" / f"{case}__PT.nii.gz", pet, coarse, np.float32)
        save(user.cohort / "labelsTr" / f"{case}.nii.gz", labels, affine, np.uint8)
    plain = user.curate(codes=(1, 3))
    told = [finding["message"] for finding in plain.findings if finding["code"] == "channel-grid-mismatch"]
    if not told or not all("--resample-channels" in message for message in told):
        raise Wrong("it does not name --resample-channels")
    cases = user.init_and_curate()
    expect("channels", ["CT", "PT"], cases.channels)
    predicted = user.predict(user.train()[0], user.cohort / "imagesTr")
    expect("label maps", 9, len(predicted))
    return cases.summary()


def phases_in_a_list(user):
    """MONAI 5592: a datalist whose image is a list of two phases, with folds and test images without labels"""
    items = []
    for n in range(1, 13):
        image, labels, affine = load("ct", n)
        phases = [f"i/a_{n:02d}.nii.gz", f"i/v_{n:02d}.nii.gz"]
        save(user.cohort / phases[0], image, affine)
        save(user.cohort / phases[1], image + np.random.default_rng(n).normal(0, 5, image.shape).round(), affine)
        save(user.cohort / "l" / f"a_{n:02d}.nii.gz", labels, affine, np.uint8)
        items.append({"image": phases, "label": f"l/a_{n:02d}.nii.gz", "fold": n % 5})
    testing = [{"image": item["image"]} for item in items[10:]]
    save_json(user.cohort / "list.json", {"training": items[:10], "testing": testing})
    cases = user.curate(cohort=user.cohort / "list.json")
    expect("cases", 10, len(cases.usable))
    expect("channels", 2, len(cases.channels))
    cases.says("folds-given", "images-unused")
    return cases.summary()


def label_on_the_pet_grid(user):
    """nnUNet 2985, autoPET: CT on a finer grid than PET and label, and others beside them in the folder of a study"""
    for n in range(1, 10):
        image, labels, affine = load("ct", n)
        coarse = affine.copy()
        coarse[:3, :3] *= 2
        labels = labels[::2, ::2, ::2] == 3
        pet = np.random.default_rng(n).gamma(2, 0.4, labels.shape) + 4 * labels
        study = user.cohort / f"PETCT_{n:03d}" / "01-01-2000-NA-PET-CT"
        files = {"CT": (image, affine), "CTres": (image[::2, ::2, ::2], coarse)}
        files |= {"PET": (1000 * pet, coarse), "SUV": (pet, coarse)}
        for name, (voxels, grid) in files.items():
            save(study / f"{name}.nii.gz", voxels, grid, np.float32)
        save(study / "SEG.nii.gz", labels, coarse, np.uint8)
    plain = user.curate(codes=(1, 3))
    if not any("--channels" in finding["message"] for finding in plain.findings):
        raise Wrong("it does not name --channels")
    cases = user.curate("--channels", "SUV,CT", "--resample-channels", out=user.folder / "chosen")
    expect("channels", ["suv", "ct"], [name.lower() for name in cases.channels])
    expect("usable", 9, len(cases.usable))
    expect("shape", [list(load("ct", 1)[0][::2, ::2, ::2].shape)], [row["shape"] for row in cases.usable[:1]])
    run, _ = user.train(out=user.folder / "chosen")
    study = user.cohort / "PETCT_001" / "01-01-2000-NA-PET-CT"
    [predicted] = user.predict(run, study / "SUV.nii.gz", study / "CT.nii.gz").values()
    expect("shape of the prediction", tuple(cases.usable[0]["shape"]), predicted.shape)
    return cases.summary()


def series_by_their_descriptions(user):
    """SimpleITK 1177, mrtrix3 1164: a study has several MR series, and only their descriptions tell them apart"""
    for n in range(1, 6):
        image, labels, affine = load("mr", n)
        for series, (name, voxels) in enumerate(zip(("AX T1", "ax_flair fs", "localizer"), sequences(image, labels, n, 3)), 1):
            folder = user.cohort / f"n{n}" / f"s{series}"
            save_dicom(folder, voxels, affine, n, modality="MR", series=series)
            for path in folder.iterdir():
                file = pydicom.dcmread(path)
                file.SeriesDescription = name
                file.save_as(path)
    user.refused(user.pdl, "curate", user.cohort, "--out", user.out, "--channels", "T1,FLAIR", saying=["NAME=PATTERN"])
    cases = user.curate("--channels", "T1=*t1*,FLAIR=*flair*", codes=(0, 1, 3))
    joined = [[channel["name"] for channel in row["channels"]] for row in cases.rows if row["status"] == "unlabelled"]
    expect("cases of two channels", [["T1", "FLAIR"]] * 5, joined)
    expect("localizers, which are skipped", 5, len(cases.rejected))
    return cases.summary()
