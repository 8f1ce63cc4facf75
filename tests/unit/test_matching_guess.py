"""What columns of tables that nobody has seen are taken for."""

import pytest

from identity.matching import ColumnType, guess_types
from identity.matching.headers import is_of_an_event, read_header


class TestReadHeader:
    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            ("Vorname prénom voornaam förnamn imię Имя pt_first_name traits.firstName fname_c1 名", "given_name"),
            ("Nachname cognome achternaam efternamn nazwisko Фамилия apellido1 姓 LastName", "surname"),
            ("full_name first_and_surname nombre_completo 姓名 nom_client", "full_name"),
            ("Geb.-Datum fecha_nacimiento data_di_nascita födelsedatum BirthDt pt_dob 生年月日", "birth_date"),
            ("E-Mail-Adresse courriel correo_electronico e-post email_1 メール", "email"),
            ("Telefonnummer téléphone cellulare full_phone_num HomePhone 電話番号", "phone"),
            ("PLZ code_postal cep postnummer zip_code res_zip postcode_fake 郵便番号", "postcode"),
            ("Ort ville comune woonplaats miejscowość city_name mailing_address_city 城市", "city"),
            ("Straße ulica straat street_name address_line_1", "street"),
            ("Adresse indirizzo endereço street_address 住所", "address"),
            ("nhs_number dni pesel soc_sec_id ssn4", "national_id"),
            ("geschlecht sexo gender_code pt_sex 性別", "sex"),
            ("birth_year Geburtsjahr yob age", "age"),
            ("employer_name spouse_ssn mother_maiden_name Company occupation birth_month", "category"),
            ("spouse_last_name employer_city employer_street_name company_phone", "ignore"),
        ],
    )
    def test_knows_columns_of_other_languages_and_systems(self, names, expected):
        assert {name: str(read_header(name)[0]) for name in names.split()} == dict.fromkeys(names.split(), expected)

    @pytest.mark.parametrize("name", ["last_login", "first_seen", "Create Date", "registr_dt", "LastOrderDate"])
    def test_takes_no_event_for_a_person(self, name):
        assert is_of_an_event(name)
        assert read_header(name)[0] in {None, ColumnType.IGNORE}


class TestGuessTypes:
    @staticmethod
    def kinds(columns):
        return [kind.value for kind in guess_types(columns).values()]

    def test_takes_a_name_for_the_half_that_is_missing(self):
        assert self.kinds({"nom": ["Durand"], "prénom": ["Zoé"]}) == ["surname", "given_name"]
        assert self.kinds({"nome": ["Ada"], "cognome": ["Neri"]}) == ["given_name", "surname"]
        assert self.kinds({"nom": ["Zoé Durand"], "tél": ["0612345678"]}) == ["full_name", "phone"]

    def test_does_not_believe_a_name_against_the_values(self):
        assert self.kinds({"email_opt_in": ["yes", "no"] * 20, "home_phone_type": ["mobile", "landline"] * 20}) == [
            "category", "category",
        ]  # fmt: skip

    def test_takes_no_count_for_a_date_unless_it_is_called_so(self):
        counts = [f"{at}00000007" for at in range(1, 40)]

        assert self.kinds({"c1": counts, "dob": [f"{at}" for at in range(20_000, 20_039)]}) == ["phone", "birth_date"]

    def test_tells_births_from_other_dates(self):
        births = [f"{year}-0{month}-11" for year in range(1940, 2000) for month in (1, 7)]
        recent = [f"2024-0{month}-{day:02}" for month in range(1, 9) for day in range(1, 16)]

        assert self.kinds({"c1": births, "c2": recent, "seen": births}) == ["birth_date", "ignore", "ignore"]

    def test_recognises_people_where_no_name_of_a_column_says_anything(self):
        given = [
            *["James", "Mary", "Robert", "Patricia", "Linda", "Michael"],
            *(f"Ing{a}b{b}rg" for a in "aeio" for b in "aeiouy"),
        ]
        given += [f"Wolf{a}r{b}m" for a in "aeio" for b in "aeiouy"]
        columns = {
            "c1": [given[at % len(given)] for at in range(400)],
            "c2": [f"{chr(65 + at % 26)}{'aeiou'[at % 5]}rson" + "abcdefg"[at % 7] for at in range(400)],
            "c3": [f"{at % 180} {['Main', 'Oak', 'Elm', 'Hill'][at % 4]} Street" for at in range(400)],
            "c4": [f"{10000 + at % 150}" for at in range(400)],
            "c5": [f"+44 20 7{at % 300:03} {at:04}" for at in range(400)],
        }

        assert self.kinds(columns) == ["given_name", "surname", "address", "postcode", "phone"]

    def test_takes_a_firm_for_the_name_where_no_person_has_one(self):
        assert self.kinds({"company": ["Acme Inc."], "zip": ["12345"]}) == ["surname", "postcode"]
        assert self.kinds({"company": ["Acme", "Acme"], "name": ["Ann Lee", "Bo Li"]}) == ["category", "full_name"]
