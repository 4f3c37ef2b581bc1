from .files import list_images as list_images
from .reading import read_image as read_image
from .second_view import SecondView as SecondView
from .transforms import Augmentation as Augmentation
from .transforms import InputFormat as InputFormat

__all__: list[str]
