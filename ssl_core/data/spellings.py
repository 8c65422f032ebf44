"""What a folder's name says: a split, images, or what only stands beside images; spelled as public data sets do."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from pathlib import PurePosixPath

from ssl_core.data.names import without_controls
from ssl_core.errors import Refused


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TRAIN, VAL, TEST, UNLABELLED = "train", "val", "test", "unlabelled"
EVERY = (TRAIN, VAL, TEST, UNLABELLED)
LABELLED = _words("labelled labeled annotated tagged")
NOT_LABELLED = {f"{no}{said}" for no in ("un", "not", "non", "no") for said in LABELLED | {"label", "labels"}}
SPELLINGS = {
    TRAIN: "train training trainval trn learn learning treino treinamento entrenamiento entrainement entraînement "
    "apprentissage addestramento trainingsdaten übung обучение 训练 训练集 訓練 訓練集 学習 학습",
    VAL: "val valid vld validate validating validation eval evaluate evaluation dev development validierung "
    "validierungsdaten validação validacao validación validacion validazione валидация 验证 验证集 驗證 驗證集 検証 "
    "검증",
    TEST: "test testing tst holdout heldout teste prueba pruebas testdaten prüfung тест тестирование 测试 测试集 測試 "
    "測試集 テスト 테스트",
    UNLABELLED: "unsupervised pred predict prediction",
}
SPLITS = {word: split for split, words in SPELLINGS.items() for word in words.split()}
SPLITS |= dict.fromkeys(NOT_LABELLED, UNLABELLED)
NAMED = 3
"""Names that a sentence has."""
FILLING = _words(
    "set sets data dataset datasets split subset seg bounding box the my dir folder full final dados datos conjunto de"
)
"""Words that change nothing about what a name says of a split: `training_set`, `seg_test`."""
COUNTED = _words("of shard shards part parts chunk chunks tar snappy zstd gzip")
"""Words beside the numbers of files that hold a data set in pieces, and how these are packed: `test-0.tar.gz`."""
IMAGES = _words("image images img imgs picture pictures pics photo photos jpeg jpg png rgb frame frames")
PIECES = _words("part parts fold folds batch batches chunk chunks shard shards split subset")
DEALT = _words("fold folds split subset")
"""Pieces that may hold the same images once more, dealt out otherwise."""
SIDE = _words(
    "mask masks gt groundtruth annotation annotations annot annots label labels segmentation "
    "segmentations trimap trimaps bbox bboxes landmark landmarks depth xml xmls meta metadata thumbnail "
    "thumbnails thumbs contours"
)
NEVER_A_CLASS = _words("masks gt groundtruth annotation annotations annots segmentations trimap trimaps bboxes")
OF_SIDE = _words("class classes object objects map maps binary")
"""Words that a side folder's name may have besides: `SegmentationClass`."""
OF_A_PROJECT = _words(
    "doc docs assets static figure figures fig figs results output outputs logs runs notebook "
    "notebooks src script scripts examples demo demos screenshot screenshots website checkpoints "
    "readme tests plot plots"
)
_GLUED = re.compile(rf"({'|'.join(sorted(SPLITS, key=len, reverse=True))})(set|data|images?|imgs?|dir|folder)")
_SIDE_FILE = re.compile(
    r"(.+?)[_\-. ]+(masks?|seg|segmentation|gt|groundtruth|annotation|trimap|superpixels?|labels?|depth|bbox)"
    r"(?:[_\-. ]*\d+)?"
)
_ENDING = re.compile(r"(.+?)[_\-. ]+[^\W\d_]+")


def clean(name: str) -> str:
    """A class's name: composed characters (NFC), no blanks around it; controls and bytes that are no text as \\xe9."""
    readable = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return without_controls(unicodedata.normalize("NFC", readable).strip() or readable)


def words(name: str) -> list[str]:
    """The words of a name, in small letters: of `seg_train`, `TrainSet`, `train2017`; digits are none."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", unicodedata.normalize("NFKC", name))
    found = re.findall(r"[^\W\d_]+", apart.casefold())
    return [glued[1] if (glued := _GLUED.fullmatch(word)) else word for word in found]


def split_of(name: str) -> str | None:
    """The split that a folder of this name is, and nothing else: `training_set`, `seg_test`, `val2017`."""
    return SPLITS.get(_bare(name))


def _bare(name: str) -> str:
    return "".join(word for word in words(name) if word not in FILLING | IMAGES)


def split_of_file(path: PurePosixPath) -> str:
    """The split of a file of many images, which its name or a folder's has at an end: `cifar-test-00000.parquet`."""
    names = [path.stem, *(parent.name for parent in path.parents)]
    return next(filter(None, map(_split_at_an_end, names)), "")


def _split_at_an_end(name: str) -> str | None:
    said = [word for word in words(name) if word not in FILLING | IMAGES | COUNTED]
    return next(filter(None, map(SPLITS.get, ["".join(said), *said[:1], *said[-1:]])), None)


def splits_of_files(paths: Sequence[PurePosixPath]) -> list[str]:
    """The split of each such file; none of any where no name says one. Raises `Refused` where only some names do."""
    found = [split_of_file(path) for path in paths]
    if any(found) and not all(found):
        named, other = paths[found.index(next(filter(None, found)))], paths[found.index("")]
        raise Refused(
            f"some files are named like splits ({named}) and others are not ({other}): name each after its split, or "
            "take the others out of the folder"
        )
    return found


def split_in(name: str) -> str | None:
    """The split that is one of the words of a name, whatever the others are: `dogs_train`."""
    return next((SPLITS[word] for word in words(name) if word in SPLITS), None)


def is_images(name: str) -> bool:
    """Whether a folder says only that images are in it: `images`, `JPEGImages`."""
    said = [word for word in words(name) if word not in FILLING]
    return bool(said) and IMAGES.issuperset(said)


def is_piece(name: str) -> bool:
    """Whether a folder is one of several that only a number tells apart, and no class: `part_1`, `images_002`."""
    said = {word for word in words(name) if word not in FILLING - {"split", "subset"}}
    return bool(said) and said <= PIECES | IMAGES and any(letter.isdigit() for letter in name)


def are_pieces(names: Collection[str]) -> bool:
    """Whether folders differ in a number alone, and are called pieces of something: `HAM10000_images_part_1`."""
    said = {tuple(words(name)) for name in names}
    return len(names) > 1 and len(said) == 1 and not PIECES.isdisjoint(*said)


def is_dealt(name: str) -> bool:
    """Whether a piece may hold the images of another one too: `fold_1`."""
    return not DEALT.isdisjoint(words(name))


def is_side(name: str) -> bool:
    """Whether a folder of this name may be of masks, labels and the like, where images stand beside it."""
    said = words(name)
    rest = [word for word in said if word not in SIDE | FILLING | IMAGES | OF_SIDE | SPLITS.keys()]
    return "".join(rest) in SIDE or (not rest and any(word in SIDE for word in said))


def is_no_class(name: str) -> bool:
    """Whether a name is that of a side folder and of no class that there is."""
    said = [word for word in words(name) if word not in FILLING]
    return "".join(said) in NEVER_A_CLASS or (bool(said) and NEVER_A_CLASS.issuperset(said))


def is_of_a_project(name: str) -> bool:
    """Whether a folder of this name is of a program's source rather than a class: `docs`, `assets`."""
    return "".join(words(name)) in OF_A_PROJECT


def is_labelled(name: str) -> bool:
    """Whether a folder says only that its images have labels."""
    return bool(LABELLED.intersection(words(name))) and split_of(name) is None


def is_not_labelled(name: str) -> bool:
    """Whether a folder says that its images have no labels, and no more: `not_labeled`, and not `predictions`."""
    return _bare(name) in NOT_LABELLED


def is_split(name: str) -> bool:
    """Whether a folder is train, val or test."""
    return split_of(name) not in (None, UNLABELLED)


def says_nothing(name: str, split: str) -> bool:
    """Whether a folder's name says nothing beside that its images are of this split."""
    return is_images(name) or is_labelled(name) or split_of(name) == split


def alike(names: Iterable[str]) -> set[str]:
    """Names without the difference of small and capital letters."""
    return {clean(name).casefold() for name in names}


def side_of(stem: str) -> str | None:
    """The stem of the image that a file of this stem is a mask of: `cat_mask` of `cat`; None where it is none."""
    found = _SIDE_FILE.fullmatch(stem)
    return found[1] if found else None


def without_ending(stem: str) -> str | None:
    """A stem without the word at its end: `cat` of `cat_L`; None where there is no word, as in `cat_2`."""
    found = _ENDING.fullmatch(stem)
    return found[1] if found else None


def some(names: Sequence[str]) -> str:
    """The first names, readable, and a sign that there are more."""
    return ", ".join(map(clean, names[:NAMED])) + ", …" * (len(names) > NAMED)
