"""Flags over environment over backstory.toml; a bad value is refused with its name, its problem and what is allowed."""

from pathlib import Path

import pytest

from memory.errors import Invalid
from server.settings import Secret, Settings

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def test_flags_win_over_environment_and_environment_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "backstory.toml").write_text('user = "file"\ntenant = "file"\nlog_level = "error"\nport = 9000\n')
    env = {"BACKSTORY_DATA_DIR": str(tmp_path), "BACKSTORY_USER": "env", "BACKSTORY_TENANT": "env"}
    settings = Settings.load({"user": "flag", "tenant": None}, env)
    assert (settings.user, settings.tenant, settings.log_level, settings.port) == ("flag", "env", "ERROR", 9000)


def test_the_data_directory_of_a_flag_decides_which_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "backstory.toml").write_text('embedder = "none"\n')
    settings = Settings.load({"data_dir": str(tmp_path / "here")}, {"BACKSTORY_DATA_DIR": str(tmp_path / "there")})
    assert settings.data_dir == tmp_path / "here"
    assert settings.embedder == "none"


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    settings = Settings.load(environ={"BACKSTORY_DATA_DIR": str(tmp_path), "BACKSTORY_USER": ""})
    assert (settings.user, settings.embedder, settings.summarizer, settings.tools) == (
        "local",
        "bundled",
        "extractive",
        "agent",
    )
    assert settings.embedded
    assert settings.database_label == str(tmp_path / "backstory.db")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("BACKSTORY_EMBEDDER", "word2vec", "allowed are bundled, multilingual, none, fastembed:MODEL, openai:MODEL"),
        ("BACKSTORY_EMBEDDER", "openai:", "allowed are"),
        ("BACKSTORY_SUMMARIZER", "gpt", "allowed are extractive, client, openai:MODEL"),
        ("BACKSTORY_SUMMARIZE_TURNS", "0", "1 to 10000"),
        ("BACKSTORY_SUMMARIZE_TOKENS", "many", "100 to 1000000"),
        ("BACKSTORY_TOKENIZER", "/nowhere/tokenizer.json", "the path of a tokenizer.json file"),
        ("BACKSTORY_PROFILE_SESSIONS", "0", "1 to 1000"),
        ("BACKSTORY_LOG_LEVEL", "LOUD", "allowed are DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ("BACKSTORY_TOOLS", "some", "allowed are recall, agent, full"),
        ("BACKSTORY_PORT", "70000", "0 to 65535"),
        ("BACKSTORY_PORT", "²", "0 to 65535"),
        ("BACKSTORY_USER", "a b", "letters, digits"),
        ("BACKSTORY_TENANT", "x" * 200, "1 to 128"),
        ("BACKSTORY_INDEX_URI", "ftp://host/x", "s3://"),
        ("BACKSTORY_TIME_ZONE", "../etc/passwd", "IANA"),
        ("BACKSTORY_DATA_DIR", __file__, "no directory"),
        ("OPENAI_BASE_URL", "file:///etc/passwd", "web address"),
        ("BACKSTORY_DATABASE_URL", "mysql://u:hunter2@h/db", "postgresql://"),
        ("BACKSTORY_ENCRYPTION_KEY", "hunter2", "32 random bytes"),
        ("OPENAI_API_KEY", "hunter2\n", "key"),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(tmp_path: Path, name: str, value: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        Settings.load(environ={"BACKSTORY_DATA_DIR": str(tmp_path), name: value})
    sentence = str(refused.value)
    assert sentence.startswith(name)
    assert said in sentence
    assert "\n" not in sentence
    assert "hunter2" not in sentence


def test_a_flag_and_a_line_of_the_file_are_named_as_such(tmp_path: Path) -> None:
    env = {"BACKSTORY_DATA_DIR": str(tmp_path)}
    with pytest.raises(Invalid, match=r"^--tools is 'all'"):
        Settings.load({"tools": "all"}, env)
    (tmp_path / "backstory.toml").write_text("log_level = 'LOUD'")
    with pytest.raises(Invalid, match=r"^log_level in .*backstory.toml is 'LOUD'"):
        Settings.load(environ=env)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 'red'", "'colour' is not a setting"),
        ("user = ", "not valid TOML"),
        ("user = true", "neither text nor a number"),
        ("data_dir = '/x'", "cannot move its own file"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "backstory.toml").write_text(text)
    with pytest.raises(Invalid, match=said):
        Settings.load(environ={"BACKSTORY_DATA_DIR": str(tmp_path)})


def test_a_model_of_openai_needs_a_key_or_another_address(tmp_path: Path) -> None:
    env = {"BACKSTORY_DATA_DIR": str(tmp_path), "BACKSTORY_EMBEDDER": "openai:text-embedding-3-small"}
    with pytest.raises(Invalid, match=r"^OPENAI_API_KEY is missing"):
        Settings.load(environ=env)
    assert Settings.load(environ={**env, "OPENAI_BASE_URL": "http://localhost:8000/v1"}).openai_api_key is None


def test_no_secret_is_ever_shown(tmp_path: Path) -> None:
    settings = Settings.load(
        environ={
            "BACKSTORY_DATA_DIR": str(tmp_path),
            "BACKSTORY_DATABASE_URL": "postgresql://anna:hunter2@db.example/backstory?password=hunter2",
            "OPENAI_API_KEY": "hunter2",
            "BACKSTORY_ENCRYPTION_KEY": KEY,
        }
    )
    shown = f"{settings!r} {settings} {settings.database_label} {settings.openai_api_key}"
    assert "hunter2" not in shown
    assert KEY not in shown
    assert settings.database_label == "postgresql://db.example/backstory"
    assert not settings.embedded
    assert settings.openai_api_key == Secret("hunter2")
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.reveal() == "hunter2"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("~/memory", "/home/ann/memory"),
        ("~", "/home/ann"),
        ("$HOME/memory", "/home/ann/memory"),
        ("${HOME}/memory", "/home/ann/memory"),
        ("${env:HOME}/memory", "/home/ann/memory"),
        ("$env:HOME/memory", "/home/ann/memory"),
        ("%HOME%/memory", "/home/ann/memory"),
        ("/srv/per%20cent#tag?", "/srv/per%20cent#tag?"),
        ("/srv/costs $5 & 100%", "/srv/costs $5 & 100%"),
        ("/srv/a~1", "/srv/a~1"),
    ],
)
def test_what_stands_for_a_part_of_a_path_is_filled_in(monkeypatch: pytest.MonkeyPatch, text: str, path: str) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert Settings.load({"data_dir": text}, {}).data_dir == Path(path)
    assert Settings.load({"index_uri": text, "data_dir": "/srv"}, {}).index_location == path


@pytest.mark.parametrize(
    "text",
    [
        *("${workspaceFolder}/memory", "${input:dir}", "${NOWHERE}", "$NEST/x", "%APPDATA%\\memory", "%NOWHERE%/x"),
        *(
            "${HOME",
            "$(pwd)/memory",
            "${HOME:-/tmp}/x",
            "~nobody-of-this-name/x",
            "/srv/~/memory",
            "file:///srv/memory",
        ),
    ],
)
@pytest.mark.parametrize("name", ["data_dir", "index_uri", "tls_certificate", "tokenizer", "database_url"])
def test_what_nothing_stands_for_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    for unset in ("APPDATA", "NOWHERE", "workspaceFolder"):
        monkeypatch.delenv(unset, raising=False)
    monkeypatch.setenv("NEST", "${NEST}")
    flags = {"data_dir": "/srv", name: f"sqlite:///{text}" if name == "database_url" else text}
    if name == "database_url" and "://" in text:
        return
    with pytest.raises(Invalid) as refused:
        Settings.load(flags, {})
    assert str(refused.value).startswith("--" + name.replace("_", "-"))


def test_a_sqlite_file_and_a_bucket_are_filled_in_as_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    (tmp_path / "backstory.toml").write_text("index_uri = 's3://${HOME}'\n")
    env = {"BACKSTORY_DATA_DIR": str(tmp_path), "BACKSTORY_DATABASE_URL": "sqlite:///~/record.db"}
    settings = Settings.load(environ=env)
    assert settings.database_label.endswith("/home/ann/record.db")
    assert settings.index_uri == "s3:///home/ann"
    with_password = "postgresql://ann:pa$$word%40x@db/name"
    database = Settings.load({"database_url": with_password, "data_dir": "/srv"}, {}).database_url
    assert database is not None
    assert database.reveal() == with_password


@pytest.mark.parametrize("place", ["~/.local/share/backstory", "${HOME}/.local/share/backstory", None])
def test_the_usual_place_is_never_a_folder_of_a_literal_name(
    monkeypatch: pytest.MonkeyPatch, place: str | None
) -> None:
    def usual(*_: object, **__: object) -> Path:
        if place is None:
            raise RuntimeError("could not determine the home directory")
        return Path(place)

    monkeypatch.setattr("platformdirs.user_data_path", usual)
    monkeypatch.setenv("HOME", "~")
    with pytest.raises(Invalid, match="BACKSTORY_DATA_DIR is not set, and this user has no home"):
        Settings.load(environ={})
