"""Every field that a template can take of a contact, read off what the CRM is told of the next call."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

import pytest

from tests.crm.office import make_office
from tests.crm.test_at_the_desk import JOURNAL, NUMBER

FIELDS = (
    "ContactsId", "FirstName", "LastName", "Company", "Email", "BusinessNumber", "BusinessNumber2",
    "BusinessFaxNumber", "MobileNumber", "MobileNumber2", "HomeNumber", "HomeNumber2", "HomeFaxNumber", "OtherNumber",
    "ZipCode", "Street", "City", "State", "Country", "Remark", "CustomValue",
)  # fmt: skip
"""As the source's table has them; written out here, so that one that the daemon forgets is missed."""
CONTACTS = """<Scenario Id="SyncContactAuto"><Parameters>{switches}</Parameters><Requests>
<Request Name="contacts" URLFormat="{{{{.crm_url}}}}/v1/contacts?phone={{{{.Phone}}}}"><Outputs>{outputs}</Outputs>
</Request></Requests></Scenario><Scenario Id="CallJournal">"""


@pytest.mark.feature(
    "YPS-03", clause="all mapped: each of the 21 fields reaches the call's record; off, none but the two"
)
@pytest.mark.parametrize("off", ["", *FIELDS[2:]])
async def test_every_field_is_mapped(off: str) -> None:
    """All are on, and each in its turn is off."""
    switches = "".join(f'<Parameter Name="{name}Enable" Value="{int(name != off)}"/>' for name in FIELDS)
    outputs = "".join(f'<Output Name="{name}" Path="contacts.#.f_{name}"/>' for name in FIELDS)
    body = "{" + ",".join(f'"{name}":"{{{{.{name}}}}}"' for name in FIELDS)
    body += ',"external_id":"{{.CallId}}","user_id":"","contact_id":"","number":"","status":"","talk_s":0}'
    source = JOURNAL.replace("BODY", quoteattr(body)).replace(
        '<Scenario Id="CallJournal">', CONTACTS.format(switches=switches, outputs=outputs)
    )
    values = {name: f'{name} « é " & <1> »' for name in FIELDS}
    async with make_office() as office:
        office.crm.add_contact(phone=NUMBER, more={f"f_{name}": text for name, text in values.items()})
        running = await office.running(await office.integrate("generic-rest", source.encode(), default_user="71"))
        await office.call(NUMBER)
        await office.settle(running)
        told = office.crm.calls[0]["raw"]
    assert {name: told[name] for name in FIELDS} == {**values, **({off: ""} if off else {})}
