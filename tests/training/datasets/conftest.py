"""Layouts of public data sets, generated: the names, headers and folders that their owners use, with tiny images."""

from __future__ import annotations

import csv
import gzip
import io
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

Build = Callable[[Path], None]
_SEEDS = iter(range(10_000))


def picture(path: Path, mode: str = "L", *, size: tuple[int, int] = (9, 7)) -> None:
    """Write a small image of its own content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(next(_SEEDS))
    if mode == "I;16":
        values = rng.integers(0, 4096, size[::-1]).astype(np.uint16)
    else:
        values = rng.integers(0, 256, (*size[::-1], *((len(mode),) if len(mode) > 1 else ())), dtype=np.uint8)
    Image.fromarray(values).save(path)


def dicom(path: Path, **values: str) -> None:
    """Write a small radiograph."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    dataset.Modality, dataset.PhotometricInterpretation = "CR", "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PixelRepresentation = 8, 8, 1, 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = np.random.default_rng(next(_SEEDS)).integers(0, 256, 64, dtype=np.uint8).tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RSNA writes ages that are no Age String
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)


def table(path: Path, header: str, *rows: Sequence[object]) -> None:
    """Write a CSV table, compressed where its name says so; the header is written as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    content = f"{header}\n{text.getvalue()}".encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)


def nih_cxr14(root: Path) -> None:
    rows = [
        ("00000001_000.png", "Cardiomegaly", 0, 1, "058Y", "M", "PA", 2682, 2749, 0.143, 0.143, ""),
        ("00000001_001.png", "Cardiomegaly|Effusion", 1, 1, "058Y", "M", "PA", 2894, 2729, 0.143, 0.143, ""),
        ("00000002_000.png", "No Finding", 0, 2, "414", "F", "AP", 2500, 2048, 0.168, 0.168, ""),
        ("00000003_000.png", "Pneumonia", 0, 3, "011M", "F", "AP", 2500, 2048, 0.168, 0.168, ""),
    ]
    table(root / "Data_Entry_2017.csv", NIH_HEADER, *rows)
    for number, row in enumerate(rows):
        picture(root / f"images_{number % 2 + 1:03d}" / "images" / str(row[0]), "RGBA" if number == 3 else "L")
    (root / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n")
    (root / "test_list.txt").write_text("00000002_000.png\n00000003_000.png")


CHEXPERT_LABELS = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,"
    "Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)


def chexpert(root: Path) -> None:
    header = f"Path,Sex,Age,Frontal/Lateral,AP/PA,{CHEXPERT_LABELS}"
    paths = [
        "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg",
        "CheXpert-v1.0-small/train/patient00002/study2/view1_frontal.jpg",
        "CheXpert-v1.0-small/train/patient00002/study2/view2_lateral.jpg",
        "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg",
    ]
    train = [
        (paths[0], "Female", 68, "Frontal", "AP", "1.0", *[""] * 12, "1.0"),
        (paths[1], "Unknown", 0, "Frontal", "PA", "", "", "", "-1.0", "", "", "0.0", "1.0", *[""] * 6),
        (paths[2], "Male", 87, "Lateral", "", "", "", "", "", "", "", "", "1.0", *[""] * 6),
    ]
    valid = [(paths[3], "Male", 73, "Frontal", "AP", "0.0", "1.0", *["0.0"] * 12)]
    table(root / "train.csv", header, *train)
    table(root / "valid.csv", header, *valid)
    for path in paths:
        picture(root / path.split("/", 1)[1])


def mimic_cxr(root: Path) -> None:
    studies = {
        "50000001": ("10000032", "02aa804e"),
        "50000002": ("10000032", "174413ec"),
        "50000003": ("11000764", "2a2277a9"),
    }
    labels = [
        ("10000032", "50000001", "", "", "", "", "", "", "1.0", "", "", "", "", "", "-1.0", ""),
        ("10000032", "50000002", "", "", "", "", "", "", "", "", "1.0", "", "", "", "", ""),
        ("11000764", "50000003", "", "", "", "", "", "", "", "1.0", "", "", "", "", "", ""),
    ]
    header = (
        "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,Lung Opacity,"
    )
    header += "No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
    table(root / "mimic-cxr-2.0.0-chexpert.csv.gz", f"subject_id,study_id,{header}", *labels)
    metadata = [(image, patient, study, "AP", 3056, 2544) for study, (patient, image) in studies.items()]
    metadata += [
        ("35154fc8", "10000032", "50000001", "LATERAL", 3056, 2544),
        ("ffff0000", "12345678", "50000009", "PA", 1, 1),
    ]
    table(root / "mimic-cxr-2.0.0-metadata.csv.gz", "dicom_id,subject_id,study_id,ViewPosition,Rows,Columns", *metadata)
    parts = [("02aa804e", "50000001", "10000032", "train"), ("2a2277a9", "50000003", "11000764", "validate")]
    table(root / "mimic-cxr-2.0.0-split.csv.gz", "dicom_id,study_id,subject_id,split", *parts)
    for study, (patient, image) in studies.items():
        folder = root / "files" / f"p{patient[:2]}" / f"p{patient}" / f"s{study}"
        picture(folder / f"{image}.jpg")
        report = root / "reports" / folder.relative_to(root).with_suffix(".txt")
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(f"FINDINGS: of {study}\n")


PADCHEST_HEADER = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,"
    "MethodProjection,PhotometricInterpretation_DICOM,ReportID,Report,MethodLabel,Labels"
)


def padchest(root: Path) -> None:
    def row(
        n: int, projection: str, labels: str, method: str = "Physician", photometric: str = "MONOCHROME2"
    ) -> tuple[object, ...]:
        image = f"2168401113669640{n:02d}.png"
        return (
            n, image, n % 2, "20140915", f"S{n}", f"P{n // 2}", "1930.0" if n else "", "F", "", projection, "Manual",
            photometric, f"R{n}", "sin hallazgos .", method, labels,
        )  # fmt: skip

    rows = [
        row(0, "PA", "['normal']"),
        row(1, "AP_horizontal", "['pneumonia', ' pleural effusion']", photometric="MONOCHROME1"),
        row(2, "L", "['normal']"),
        row(3, "PA", "['suboptimal study', 'normal']", "RNN_model"),
        row(4, "PA", "[]"),
    ]
    table(root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", PADCHEST_HEADER, *rows)
    for one in rows:
        picture(root / str(one[2]) / str(one[1]), "I;16")


def vindr_cxr(root: Path) -> None:
    labels = (
        "Cardiomegaly",
        "Nodule/Mass",
        "Pneumonia",
        "No finding",
    )  # the tables differ in the name of the last column
    train = [
        ("bbb", "R1", 0, 0, 0, 1, 0), ("bbb", "R4", 0, 0, 0, 1, 0), ("bbb", "R5", 0, 1, 0, 0, 1),
        ("aaa", "R1", 1, 0, "", 0, 1), ("aaa", "R2", 1, 0, "", 0, 1), ("aaa", "R3", 0, 0, 0, 1, 0),
    ]  # fmt: skip
    table(root / "annotations" / "image_labels_train.csv", f"image_id,rad_id,{','.join(labels)},Other diseases", *train)
    table(
        root / "annotations" / "image_labels_test.csv",
        f"image_id,{','.join(labels)},Other disease",
        ("ccc", 0, 0, 1, 0, 0),
    )
    dicom(root / "train" / "aaa.dicom", PatientSex="F", PatientAge="061Y")
    dicom(root / "train" / "bbb.dicom")
    dicom(root / "test" / "ccc.dicom")


def openi(root: Path) -> None:
    # XXXX stands in the reports themselves: Open-i puts it where it took a word out to de-identify them.
    def report(uid: str, major: Sequence[str], images: Sequence[str]) -> str:
        terms = "".join(f"<major>{term}</major>" for term in major)
        panels = "".join(f'<parentImage id="{image}"><caption>Chest</caption></parentImage>' for image in images)
        return (
            f'<eCitation><uId id="{uid}"/><MedlineCitation><Article><Abstract>'
            '<AbstractText Label="FINDINGS">The heart is XXXX.</AbstractText>'
            '<AbstractText Label="IMPRESSION"/></Abstract></Article></MedlineCitation>'
            f"<MeSH>{terms}</MeSH>{panels}</eCitation>"
        )

    (root / "ecgen-radiology").mkdir(parents=True)
    reports = {
        "1": report("CXR1", ["normal"], ["CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001"]),
        "2": report("CXR2", ["Cardiomegaly/borderline", "Pulmonary Artery/enlarged"], ["CXR2_IM-0652-1001"]),
        "3": report("CXR3", ["No Indexing"], ["CXR3_IM-1384-1001"]),
    }
    for name, text in reports.items():
        (root / "ecgen-radiology" / f"{name}.xml").write_text(text)
    for image in ("CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001", "CXR2_IM-0652-1001", "CXR3_IM-1384-1001"):
        picture(root / "NLMCXR_png" / f"{image}.png", "RGB")
    table(
        root / "indiana_projections.csv",
        "uid,filename,projection",
        (1, "1_IM-0001-4001.dcm.png", "Frontal"),
        (1, "1_IM-0001-3001.dcm.png", "Lateral"),
        (2, "IM-0652-1001.dcm.png", "Frontal"),
    )


def rsna_pneumonia(root: Path) -> None:
    boxes = [
        ("0004cfab", "", "", "", "", 0), ("00436515", 264.0, 152.0, 213.0, 379.0, 1),
        ("00436515", 562.0, 152.0, 256.0, 453.0, 1), ("00313ee0", "", "", "", "", 0),
    ]  # fmt: skip
    classes = [
        ("0004cfab", "No Lung Opacity / Not Normal"), ("00436515", "Lung Opacity"), ("00436515", "Lung Opacity"),
        ("00313ee0", "Normal"),
    ]  # fmt: skip
    table(root / "stage_2_train_labels.csv", "patientId,x,y,width,height,Target", *boxes)
    table(root / "stage_2_detailed_class_info.csv", "patientId,class", *classes)
    for image in ("0004cfab", "00436515", "00313ee0"):
        dicom(
            root / "stage_2_train_images" / f"{image}.dcm",
            ViewPosition="AP", PatientSex="F", PatientAge="51", PatientID=image,
        )  # fmt: skip
    mapping = [
        {"subset_img_id": "0004cfab", "img_id": "00000165_001.png", "orig_labels": ["Effusion"]},
        {"subset_img_id": "00436515", "img_id": "00000165_007.png", "orig_labels": ["Pneumonia"]},
    ]
    (root / "pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(mapping))


def ham10000(root: Path) -> None:
    rows = [
        ("HAM_0000118", "ISIC_0027419", "bkl", "histo", "80.0", "male", "scalp", "vidir_modern"),
        ("HAM_0000118", "ISIC_0025030", "bkl", "histo", "80.0", "male", "scalp", "vidir_modern"),
        ("HAM_0002730", "ISIC_0026769", "mel", "histo", "", "unknown", "back", "rosendahl"),
    ]
    table(
        root / "HAM10000_metadata.csv",
        "lesion_id,image_id,dx,dx_type,age,sex,localization,dataset",
        *rows,
    )
    for number, row in enumerate(rows):
        picture(root / f"HAM10000_images_part_{number % 2 + 1}" / f"{row[1]}.jpg", "RGB")


def bcn20000(root: Path) -> None:
    rows = [
        ("BCN_0000000001.jpg", 55.0, "anterior torso", "MEL", "BCN_0003884", "2012-05-16", "male", "train"),
        ("BCN_0000000003.jpg", 50.0, "", "NV", "", "2015-07-09", "female", "train"),
        ("BCN_0000000004.jpg", 85.0, "head/neck", "", "BCN_0003650", "2015-11-23", "male", "test"),
    ]
    header = "bcn_filename,age_approx,anatom_site_general,diagnosis,lesion_id,capture_date,sex,split"
    table(root / "BCN_20k_train.csv", header, *rows)
    for row in rows:
        picture(root / "BCN_20k_train" / "bcn_20k_train" / str(row[0]), "RGB")


def pad_ufes20(root: Path) -> None:
    header = "patient_id,lesion_id,smoke,age,gender,fitspatrick,region,diagnostic,img_id,biopsed"
    rows = [
        ("PAT_1516", 1765, "", 8, "", "", "ARM", "NEV", "PAT_1516_1765_530.png", "False"),
        ("PAT_46", 881, "False", 55, "FEMALE", 3.0, "NECK", "BCC", "PAT_46_881_939.png", "True"),
        ("PAT_46", 882, "False", 55, "FEMALE", 3.0, "FACE", "ACK", "PAT_46_882_100.png", "False"),
    ]
    table(root / "metadata.csv", header, *rows)
    for number, row in enumerate(rows):
        picture(root / f"imgs_part_{number + 1}" / str(row[8]), "RGBA")


PH2_TEXT = """
||   Name || Histological Diagnosis || Clinical Diagnosis || Asymmetry | Pigment Network | Dots/Globules | Streaks | Regression Areas | Blue-Whitish Veil ||           Colors ||
|| IMD003 ||                        ||                  0 ||         0 |               T |             A |       A |                A |                 A ||                4 ||
|| IMD155 ||          Atypical nevus ||                  1 ||         1 |              AT |            AT |       P |                A |                 A ||             3  4 ||
|| IMD063 ||               Melanoma ||                  2 ||         2 |              AT |             T |       A |                P |                 P ||    1  2  3  4  5 ||

Legends
"""


def ph2(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "PH2_dataset.txt").write_text(PH2_TEXT)
    for name in ("IMD003", "IMD155", "IMD063"):
        folder = root / "PH2 Dataset images" / name
        picture(folder / f"{name}_Dermoscopic_Image" / f"{name}.bmp", "RGB")
        picture(folder / f"{name}_lesion" / f"{name}_lesion.bmp")


def derm7pt(root: Path) -> None:
    header = (
        "case_num,diagnosis,seven_point_score,pigment_network,streaks,pigmentation,regression_structures,"
        "dots_and_globules,blue_whitish_veil,vascular_structures,level_of_diagnostic_difficulty,elevation,location,sex,"
        "management,clinic,derm,case_id,notes"
    )
    tail = ("medium", "flat", "back", "female", "excision")
    rows = [
        (1, "reed or spitz nevus", 1, "absent", "regular", "absent", "absent", "regular", "absent", "dotted", *tail,
         "NEL/Nel025.jpg", "NEL/NEL025.JPG", "NEL025", ""),
        (2, "melanoma (0.76 to 1.5 mm)", 7, "atypical", "irregular", "localized irregular", "combinations", "irregular",
         "present", "within regression", *tail, "NEL/Nel027.jpg", "NEL/NEL027.JPG", "", ""),
        (3, "seborrheic keratosis", 0, "absent", "absent", "diffuse regular", "blue areas", "absent", "absent",
         "absent", *tail, "NEL/Nel028.jpg", "NEL/NEL028.JPG", "NEL028", ""),
    ]  # fmt: skip
    table(root / "meta" / "meta.csv", header, *rows)
    for part, number in (("train", 0), ("valid", 1), ("test", 2)):
        table(root / "meta" / f"{part}_indexes.csv", "indexes", (number,))
    for row in rows:
        for name in (row[15], row[16]):
            picture(root / "images" / str(name), "RGB")


WBCATT_HEADER = (
    "img_name,label,cell_size,cell_shape,nucleus_shape,nuclear_cytoplasmic_ratio,chromatin_density,cytoplasm_vacuole,"
    "cytoplasm_texture,cytoplasm_colour,granule_type,granule_colour,granularity,path"
)


def pbc(root: Path) -> None:
    def row(kind: str, name: str, *values: str) -> tuple[str, ...]:
        return (name, kind.capitalize(), *values, f"PBC_dataset_normal_DIB/{kind}/{name}")

    first = row(
        "neutrophil", "BNE_495078.jpg",
        "big", "round", "segmented-multilobed", "low", "densely", "no", "clear", "light blue", "small", "pink", "yes",
    )  # fmt: skip
    second = row(
        "basophil", "BA_100102.jpg",
        "small", "irregular", "irregular", "high", "loosely", "yes", "frosted", "blue", "nil", "nil", "no",
    )  # fmt: skip
    table(root / "pbc_attr_v1_train.csv", WBCATT_HEADER, first)
    table(root / "pbc_attr_v1_val.csv", WBCATT_HEADER, second)
    for kind, name in (("neutrophil", "BNE_495078.jpg"), ("basophil", "BA_100102.jpg"), ("ig", "MMY_1.jpg")):
        picture(root / "PBC_dataset_normal_DIB" / kind / name, "RGB")


LAYOUTS: dict[str, Build] = {
    one.__name__: one
    for one in (
        nih_cxr14, chexpert, mimic_cxr, padchest, vindr_cxr, openi, rsna_pneumonia, ham10000, bcn20000, pad_ufes20, ph2,
        derm7pt, pbc,
    )
}  # fmt: skip


@pytest.fixture
def layouts() -> dict[str, Build]:
    """What writes each layout into a folder, by name of data set."""
    return LAYOUTS


@pytest.fixture
def build(tmp_path: Path) -> Callable[[str], Path]:
    """Write a layout and return its folder."""

    def make(name: str) -> Path:
        root = tmp_path / name
        LAYOUTS[name](root)
        return root

    return make


@pytest.fixture
def write_table() -> Callable[..., None]:
    """Write a CSV table: path, header, rows."""
    return table


@pytest.fixture
def write_picture() -> Callable[..., None]:
    """Write a small image: path, mode."""
    return picture
