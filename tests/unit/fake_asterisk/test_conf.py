"""A fake that is configured by an Asterisk's own files: who may log in, who can be rung, where a call goes."""

from pathlib import Path

import pytest

from fake_asterisk import conf, lab

FILES = {
    "manager.conf": """
[general]
enabled = yes
timestampevents = yes

[boss]
secret = pass;the rest of this line is a remark
read = call,user
write = all
writetimeout = 700

[clerk](!)
secret = typed
read = call
[mornings](clerk)
write = call
eventfilter = !Event: Newexten
eventfilter => !Event: VarSet
""",
    "pjsip.conf": """
[global]
type = global

[desk](!)
type = endpoint
context = desks
[2001](desk)
aors = 2001
callerid = "Front desk" <2001>
[2001]
type = aor
contact = sip:110@127.0.0.1:5070
[2002](desk)
context = elsewhere
aors = 2002
[2002]
type = aor
max_contacts = 1
""",
    "extensions.conf": """
#include more/desks.conf
[elsewhere]
exten => 2001,1,Goto(desks,2001,1)      ; a step of another file
""",
    "more/desks.conf": """
[desks]
exten => _2XXX,1,NoOp(for ${EXTEN})
 same => n,Dial(PJSIP/${EXTEN},5)
""",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def test_a_call_by_the_files(folder, make_rig):
    rig = make_rig(lab.config(folder))
    client = rig.connect()
    assert client.ask("Login", Username="boss", Secret="pass")["Response"] == "Success"
    rig.originate(client, "x", "Local/2001@elsewhere/n", Application="Wait", Data="1")
    rig.run(0.4)
    (rung,) = client.events("DialBegin", DestCallerIDNum="2001")
    assert (rung["DestContext"], rung["DestCallerIDName"], rung["DialString"]) == ("desks", "Front desk", "2001")
    assert "Timestamp" in rung and not client.events("Newexten")
    rig.run(1)
    assert client.events("OriginateResponse", Uniqueid="x")[0]["Response"] == "Success", (
        "110 answers after half a second"
    )


def test_what_the_files_say_of_each(folder):
    users, phones = conf.users(folder / "manager.conf"), conf.endpoints(folder / "pjsip.conf")
    assert {name: (user.secret, user.write_timeout_s) for name, user in users.items()} == {
        "boss": ("pass", 0.7), "mornings": ("typed", 0.1),
    }  # fmt: skip
    assert users["mornings"].eventfilters == ["!Event: Newexten", "!Event: VarSet"]
    assert {name: (phone.context, phone.registered) for name, phone in phones.items()} == {
        "2001": ("desks", True), "2002": ("elsewhere", False),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("pjsip.conf", "[a](nosuch)\n", "pjsip.conf line 1: no template is called nosuch"),
        ("pjsip.conf", "; phones\n[a\n", "pjsip.conf line 2: '[a' is no [section]"),
        ("manager.conf", "secret = x\n", "manager.conf line 1: 'secret = x' is neither [section] nor key = value"),
        ("extensions.conf", "#include extensions.conf\n", "extensions.conf line 1: #include goes round in circles"),
    ],
)
def test_what_can_t_be_understood_is_told_with_its_place(folder, name, text, told):
    (folder / name).write_text(text)
    with pytest.raises(ValueError) as refused:
        lab.config(folder)
    assert str(refused.value) == told


def test_a_missing_file_is_named(folder):
    (folder / "pjsip.conf").unlink()
    with pytest.raises(FileNotFoundError, match=r"pjsip\.conf"):
        lab.config(folder)
