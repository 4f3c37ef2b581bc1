"""Numbers name people, sites, cameras and pictures."""

from snreid.synthetic.people.assets import BodyModel
from snreid.synthetic.people.population import camera_of, person_of, picture_of, site_of


def test_numbers_name_people() -> None:
    assert person_of(0, "train", 1) == person_of(0, "train", 1)
    assert (
        len({person_of(0, "train", 1), person_of(0, "test", 1), person_of(0, "train", 2), person_of(1, "train", 1)})
        == 4
    )


def test_a_camera_belongs_to_a_site() -> None:
    assert camera_of(0, 1, 1) != camera_of(0, 1, 2) and camera_of(0, 1, 1) != camera_of(0, 2, 1)
    assert site_of(0, 1) != site_of(0, 2)


def test_a_picture_is_made_of_them(model: BodyModel) -> None:
    picture = picture_of(seed=0, part="train", number=2, site=3, camera=4, shot=5)
    assert picture.identity == person_of(0, "train", 2) and picture.site == site_of(0, 3)
    assert picture.camera == camera_of(0, 4, 3)
    assert picture.moment != picture_of(seed=0, part="train", number=2, site=3, camera=4, shot=6).moment
