"""Which column is which field: guessed from French and English headings, or told by the operator.

In: the first row, and the operator's mapping (column number or heading → field). Out: `Mapping`: a field per column.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from daemon.compliance.numbers import normalise
from daemon.errors import CommandError
from daemon.leads.errors import ImportFailed

FIELDS = (
    "phone", "alt_phone", "first_name", "last_name", "full_name", "company", "email", "address1", "address2",
    "address3", "city", "postal_code", "state", "country_code", "comments", "vendor_lead_code", "status", "priority",
    "consent_at", "consent_source", "consent_text_version", "consent_out_of_hours", "consent_automated",
    "running_contract",
)  # fmt: skip
CUSTOM = "field:"
"""Prefix of a field of the operator's own: `field:Contrat` is kept with the lead under "Contrat"."""

_SYNONYMS = {
    "phone": "telephone tel tele phone phone_number number numero numero_de_telephone numero_telephone no_tel n_tel "
    "num_tel telephone_1 tel_1 tel1 telephone1 phone1 phone_1 telephone_principal mobile portable gsm cell cellphone "
    "mobile_phone telephone_mobile telephone_portable tel_mobile tel_portable msisdn e164",
    "alt_phone": "alt_phone telephone_2 tel_2 tel2 telephone2 phone2 phone_2 autre_telephone fixe telephone_fixe "
    "tel_fixe second_phone alternate_phone home_phone telephone_secondaire landline",
    "first_name": "first_name firstname prenom given_name forename prenoms",
    "last_name": "last_name lastname nom surname family_name nom_de_famille name_last",
    "full_name": "full_name fullname name nom_complet nom_prenom nom_et_prenom prenom_nom contact contact_name",
    "company": "company societe entreprise raison_sociale organisation organization account etablissement firm "
    "company_name nom_societe nom_de_l_entreprise denomination",
    "email": "email e_mail mail courriel adresse_email adresse_mail email_address adresse_e_mail mel",
    "address1": "address address1 address_1 adresse adresse1 adresse_1 street rue voie",
    "address2": "address2 address_2 adresse2 adresse_2 complement complement_adresse complement_d_adresse",
    "address3": "address3 address_3 adresse3 adresse_3",
    "city": "city ville town commune localite",
    "postal_code": "postal_code code_postal cp zip zipcode zip_code postcode",
    "state": "state region departement province county etat",
    "country_code": "country country_code pays code_pays",
    "comments": "comments comment commentaire commentaires note notes remarque remarques observation observations",
    "vendor_lead_code": "vendor_lead_code vendor_id external_id id_externe reference ref code_client id_client "
    "customer_id client_id",
    "status": "status statut",
    "priority": "priority priorite",
    "consent_at": "consent_at date_consentement consent_date date_de_consentement date_optin optin_date opt_in_date",
    "consent_source": "consent_source source_consentement source_du_consentement optin_source",
    "consent_text_version": "consent_text_version version_consentement",
    "consent_out_of_hours": "consent_out_of_hours consentement_hors_horaires",
    "consent_automated": "consent_automated consentement_automate",
    "running_contract": "running_contract contrat_en_cours contrat",
}
_BY_NAME = {name: field for field, names in _SYNONYMS.items() for name in names.split()}
ALIASES = {"phone_number": "phone", "e164": "phone", "tel": "phone", "name": "full_name"}
"""Other names a mapping may use for our fields."""


def folded(text: str) -> str:
    """A heading as a key: no accents, lower case, words joined by one underscore."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c)).lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


def field_named(heading: str) -> str:
    """The field a heading stands for; "" if we don't know it."""
    return _BY_NAME.get(folded(heading), "")


@dataclass(frozen=True, slots=True)
class Columns:
    """The field of each column, "" for those left out; `headings` as in the file (empty without a header)."""

    fields: tuple[str, ...]
    headings: tuple[str, ...] = ()

    def index(self, field: str) -> int | None:
        """The column of a field."""
        return self.fields.index(field) if field in self.fields else None


def guessed(headings: Sequence[str]) -> list[str]:
    """A field per heading; the first heading of two for one field wins, and a second telephone is the other one."""
    found: list[str] = []
    for heading in headings:
        field = field_named(heading)
        if field == "phone" and "phone" in found:
            field = "alt_phone"
        found.append("" if field in found else field)
    if "phone" not in found and "alt_phone" in found:
        found[found.index("alt_phone")] = "phone"
    if "last_name" in found and "full_name" in found:
        found[found.index("full_name")] = ""
    return found


def guessed_by_content(rows: Sequence[Sequence[object]]) -> list[str]:
    """For a file without header: the column most like telephone numbers, and the one most like e-mail addresses."""
    width = max((len(row) for row in rows), default=0)
    columns = [[row[i] for row in rows if i < len(row) and row[i] not in ("", None)] for i in range(width)]
    found = [""] * width
    phones = [sum(bool(normalise(cell).e164) for cell in column) for column in columns]
    if phones and max(phones) * 2 > max(1, len(rows)):
        found[phones.index(max(phones))] = "phone"
    emails = [sum("@" in str(cell) for cell in column) for column in columns]
    if emails and max(emails) * 2 > max(1, len(rows)):
        found[emails.index(max(emails))] = "email"
    return found


def mapped(headings: Sequence[str], guess: Sequence[str], told: Mapping[str, str]) -> Columns:
    """The guess, corrected by the operator: keys are headings or column numbers from 0; "" leaves a column out.

    Raises ImportFailed on an unknown column or field, or one field for two columns.
    """
    fields = list(guess)
    keys = {folded(heading): place for place, heading in reversed(list(enumerate(headings)))}
    said: dict[int, str] = {}
    for column, field in told.items():
        if column in headings:
            place = list(headings).index(column)
        elif column.isascii() and column.isdigit() and int(column) < len(fields):
            place = int(column)
        elif folded(column) in keys:
            place = keys[folded(column)]
        else:
            raise ImportFailed(f'no column "{column}"; there are: {", ".join(headings) or len(fields)}')
        said[place] = _checked(field)
    for place, field in enumerate(fields):
        if place not in said and field in said.values():
            fields[place] = ""
    for place, field in said.items():
        fields[place] = field
    _no_doubles(fields)
    return Columns(tuple(fields), tuple(headings))


def _checked(field: str) -> str:
    known = ALIASES.get(field, field)
    if known and known not in FIELDS and not (known.startswith(CUSTOM) and known[len(CUSTOM) :].strip()):
        raise ImportFailed(f'no field "{field}"; there are: {", ".join(FIELDS)}, {CUSTOM}<name>')
    return known


def _no_doubles(fields: Iterable[str]) -> None:
    seen: list[str] = []
    for field in fields:
        if field and field in seen:
            raise ImportFailed(f'two columns for the field "{field}"')
        seen.append(field)


def require_phone(columns: Columns, file_name: str) -> None:
    """Raises CommandError("import_no_phone") if no column is the telephone number (features IMPT-06)."""
    if columns.index("phone") is None and columns.index("alt_phone") is None:
        raise CommandError("import_no_phone", {"file": file_name})
