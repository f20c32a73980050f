import pytest

from app import config, images


def test_defaults_apply_without_environment_variables():
    settings = config.from_environment({})
    assert settings == config.Config(web_concurrency=config.granted_cpus())
    assert (settings.port, settings.model, settings.max_upload_bytes) == (8080, "model/imagenet", 20 * 2**20)


def test_default_pixel_limit_is_that_of_the_decoder():
    assert config.Config().max_pixels == images.MAX_PIXELS == 50_000_000


def test_settings_are_read_and_empty_ones_get_the_default():
    environ = {"PORT": " 9000 ", "MODEL": "model/mine", "MAX_IMAGES": "", "LOG_FORMAT": "JSON", "WEB_CONCURRENCY": "3"}
    settings = config.from_environment(environ)
    assert (settings.port, settings.model, settings.max_images) == (9000, "model/mine", 16)
    assert (settings.log_format, settings.web_concurrency) == ("json", 3)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("PORT", [1, 65535]),
        ("WEB_CONCURRENCY", [1, 64]),
        ("MAX_UPLOAD_MB", [1, 1024]),
        ("MAX_PIXELS", [1, 1_000_000_000]),
        ("MAX_IMAGES", [1, 1000]),
        ("LOG_LEVEL", ["debug", "info", "warning", "error"]),
        ("LOG_FORMAT", ["text", "json"]),
    ],
)
def test_every_allowed_value_is_accepted(name, values):
    for value in values:
        assert getattr(config.from_environment({name: str(value)}), name.lower()) == value


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "http", "a whole number from 1 to 65535"),
        ("PORT", "0", "a whole number from 1 to 65535"),
        ("PORT", "70000", "a whole number from 1 to 65535"),
        ("PORT", "-1", "a whole number"),
        ("WEB_CONCURRENCY", "0", "a whole number from 1 to 64"),
        ("MAX_IMAGES", "many", "a whole number from 1 to 1000"),
        ("MAX_UPLOAD_MB", "20MB", "a whole number from 1 to 1024"),
        ("MAX_UPLOAD_MB", "1025", "a whole number from 1 to 1024"),
        ("MAX_UPLOAD_MB", "0", "a whole number from 1 to 1024"),
        ("MAX_PIXELS", "5e7", "a whole number from 1 to 1000000000"),
        ("MAX_PIXELS", "1000000001", "a whole number from 1 to 1000000000"),
        ("MAX_PIXELS", "0", "a whole number from 1 to 1000000000"),
        ("MAX_IMAGES", "1001", "a whole number from 1 to 1000"),
        ("MAX_IMAGES", "0", "a whole number from 1 to 1000"),
        ("WEB_CONCURRENCY", "65", "a whole number from 1 to 64"),
        ("PORT", "65536", "a whole number from 1 to 65535"),
        ("MAX_IMAGES", "\u0663", "a whole number from 1 to 1000"),
        ("LOG_LEVEL", "loud", "debug, info, warning or error"),
        ("LOG_FORMAT", "xml", "text or json"),
    ],
)
def test_invalid_value_is_named_with_the_allowed_ones(name, value, expected):
    with pytest.raises(config.ConfigError) as raised:
        config.from_environment({name: value})
    assert str(raised.value).startswith(f"invalid {name} {value!r}: expected {expected}")


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu.max": "0 100000\n"}, None),
        ({"cpu.max": "100000 0\n"}, None),
        ({"cpu.max": "damaged\n", "cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_granted_cpus_follow_the_cgroup(tmp_path, monkeypatch, files, cpus):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(4)))
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert config.granted_cpus(tmp_path) == (cpus or 4)


def test_fractional_quota_is_rounded_up(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(4)))
    path = tmp_path / "sys/fs/cgroup/cpu.max"
    path.parent.mkdir(parents=True)
    path.write_text("250000 100000\n")
    assert config.granted_cpus(tmp_path) == 3


def test_model_in_a_bucket_is_refused_with_the_fix():
    with pytest.raises(
        config.ConfigError, match=r"invalid MODEL 'gs://b/m': .* copy the bundle with gcloud storage cp -r"
    ):
        config.from_environment({"MODEL": "gs://b/m"})
