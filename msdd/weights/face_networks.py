"""dlib's networks for faces, whose weights come in packages of the Python package index.

The detector, linear on histograms of oriented gradients, is compiled into dlib. The landmarks, of 5
points, and the embedder, a ResNet of 29 layers, are files of face_recognition_models. Their author
has put all of them into the public domain (davisking/dlib-models, README at 04d09a5). The file for
68 points, which is from data for research alone, is never opened.
"""

import importlib.util
from pathlib import Path

import numpy as np

from msdd.errors import MsddError
from msdd.files import digest

INSTALL = "`pip install 'msdd[faces]'`"
FILES = {  # SHA-256, as in face_recognition_models 0.3.0
    "shape_predictor_5_face_landmarks.dat": (
        "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888"
    ),
    "dlib_face_recognition_resnet_model_v1.dat": (
        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
    ),
}
# The score from which a detection counts. Of 900 photographs of ImageNet at 256 px, 46 squares have
# it, of which 45 are faces; of the 26 between 0, which is dlib's default, and this half are none.
SURE = 0.3
# The detector sees no face below 80 px a side, so an image is doubled, at most so often and up to
# this longer side: a face needs 20 px and 0.08 of the image.
DOUBLINGS, SIDE = 2, 1024


class FaceNetworks:
    """Finds faces in an image (H, W, 3) of levels 0 to 255, red first, and embeds them.

    MsddError where the packages are not installed, or a file of theirs is another one.
    """

    def __init__(self) -> None:
        try:
            import dlib
        except ImportError as error:
            raise MsddError(f"faces need dlib-bin, {INSTALL} ({error})") from error
        landmarks, embedder = map(checked, FILES)
        self.detector = dlib.get_frontal_face_detector()
        self.landmarks = dlib.shape_predictor(str(landmarks))
        self.embedder = dlib.face_recognition_model_v1(str(embedder))
        self.about = {"dlib": dlib.__version__, "weights": dict(FILES)}

    def find(self, image: np.ndarray) -> list:
        """The landmarks of each face, whose `rect` is the detector's square."""
        found, *_ = self.detector.run(image, doublings(max(image.shape[:2])), SURE)
        return [self.landmarks(image, square) for square in found]

    def embed(self, image: np.ndarray, faces: list) -> list[np.ndarray]:
        """128 numbers of each face with these landmarks, turned upright and cut out as 150 px, as
        dlib does it. Faces of one person are nearer than 0.6."""
        return [np.array(self.embedder.compute_face_descriptor(image, face)) for face in faces]


def doublings(side: int) -> int:
    """How often an image of this longer side is doubled before faces are looked for."""
    return sum(side * 2**times <= SIDE for times in range(1, DOUBLINGS + 1))


def checked(name: str) -> Path:
    """One of FILES in the installed package, which is not imported: it needs a module that newer
    setuptools have not."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None:
        raise MsddError(f"faces need face_recognition_models, {INSTALL}")
    path = Path(next(iter(spec.submodule_search_locations))) / "models" / name
    if not path.is_file() or digest(path) != FILES[name]:
        raise MsddError(
            f"{path} is not that of face_recognition_models 0.3.0; install it anew: {INSTALL}"
        )
    return path
