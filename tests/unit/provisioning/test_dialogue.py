"""The questions of `handset setup`: an answer that is wrong is told at once, and asked for again."""

from pathlib import Path

from provisioning import settings
from provisioning.dialogue import Judge, ask_all

LINE = '"Kit" <sip:201:hush-hush@pbx.example.org;transport=tls>;regint=600'


def judge(root: Path) -> Judge:
    return lambda draft: settings.check(draft, root).notes


class Someone:
    """Gives the answers in turn; Enter where there are none left."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.heard: list[str] = []

    def ask(self, question: str, default: str = "") -> str:
        self.heard.append(question)
        return (self.answers.pop(0) if self.answers else "") or default

    def ask_secret(self, question: str) -> str:
        return self.ask(question)

    def tell(self, text: str) -> None:
        self.heard.append(text)


def test_enter_all_the_way_through_changes_nothing(tmp_path):
    draft = ask_all(Someone(), None, judge(tmp_path))
    assert draft.tree == {}
    assert draft.system.empty


def test_answers_become_settings(tmp_path):
    network = ("home", "de", "short", "de", "long enough")
    account = ("pbx.example.org", "201", "", "pw", "tls")
    someone = Someone("kitchen", *network, *account, "gemini", "k" * 30)
    draft = ask_all(someone, None, judge(tmp_path))
    assert draft.tree["device"]["name"] == "kitchen"
    assert draft.tree["sip"] == {
        "enabled": True, "server": "pbx.example.org", "user": "201", "password": "pw", "transport": "tls",
    }  # fmt: skip
    assert draft.tree["conversation"]["providers"] == ["gemini", "offline"]
    assert [(one.ssid, one.password) for one in draft.system.networks] == [("home", "long enough")]
    assert any("5 characters" in line for line in someone.heard)


def test_a_line_of_baresip_may_be_pasted_as_an_answer(tmp_path):
    draft = ask_all(Someone("", "", LINE), None, judge(tmp_path))
    assert draft.tree["sip"]["user"] == "201"


def test_a_faulty_answer_is_told_at_once_with_its_remedy_and_asked_for_again(tmp_path):
    account = ("pbx.example.org", "sip:201@pbx", "201", "", "pw", "pigeon", "tls")
    someone = Someone("", "", *account, "opnai", "openai", "k" * 30)
    draft = ask_all(someone, None, judge(tmp_path))
    assert (draft.tree["sip"]["user"], draft.tree["sip"]["transport"]) == ("201", "tls")
    assert draft.tree["conversation"]["providers"] == ["openai", "offline"]
    for question, told in (("Extension", "an address"), ("Transport", "udp"), ("Who answers", "opnai")):
        first = next(n for n, line in enumerate(someone.heard) if line.startswith(question))
        assert told in someone.heard[first + 1]
        assert someone.heard[first + 2].startswith(question)


def test_after_the_third_faulty_answer_it_goes_on_and_the_check_at_the_end_says_so(tmp_path):
    someone = Someone("", "", "pbx", "201", "", "pw", *["pigeon"] * 3)
    draft = ask_all(someone, None, judge(tmp_path))
    assert sum(line.startswith("Transport") for line in someone.heard) == 3
    assert [note.key for note in judge(tmp_path)(draft)] == ["sip.transport"]


def test_an_empty_password_is_asked_for_again_and_in_the_end_left_to_the_check(tmp_path):
    someone = Someone("", "", "pbx", "201", "", "", "hush-hush")
    assert ask_all(someone, None, judge(tmp_path)).tree["sip"]["password"] == "hush-hush"
    assert "  the account has no password; give it its password, in quotes" in someone.heard

    someone = Someone("", "", "pbx", "201", "", "", "", "", "tls")
    draft = ask_all(someone, None, judge(tmp_path))
    assert sum(line == "Password" for line in someone.heard) == 3
    assert "sip.password" in [note.key for note in judge(tmp_path)(draft)]


def test_a_password_that_lies_in_the_systems_own_store_need_not_be_given(tmp_path, monkeypatch):
    store = tmp_path / "etc/credstore"
    store.mkdir(parents=True)
    monkeypatch.setattr("appliance.config.secrets.CREDENTIAL_STORE", str(store))
    (store / "handset.sip").write_text("hush-hush\n")
    someone = Someone("", "", "pbx", "201", "", "", "tls")
    draft = ask_all(someone, None, judge(tmp_path))
    assert draft.tree["sip"]["transport"] == "tls"
    assert not judge(tmp_path)(draft)
