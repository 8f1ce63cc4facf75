"""What the name of a column says of its values: in the usual European languages, and in those of East Asia."""

import re

from .contracts import ColumnType
from .normalise import squeeze

_BIRTH = (
    r"(date_?(of_?|de_|di_|da_)?)?(birth|naissance|geburt)|naissance|nacimiento|nascita|nascimento|urodzenia|rozhdeniya"
    r"|narozeni|narodzenia|birth_?(date|day|dt|ts|time|time_?stamp)|born(_?(on|at|date))?|dob|d_o_b|b_?day|b_?date"
    r"|date_?of_?birth|birthdate|geb(urts)?_?(datum|tag|dat)|geb|geboren(_am)?|ne_le|date_(de_)?naissance"
    r"|fecha_(de_)?(nacimiento|nac)|data_(di_|de_)?(nascita|nascimento)|geboortedatum|geboorte_?datum|fodelse(datum|dag)"
    r"|fodsels?(dato|dag)|fodt|syntyma(aika|paiva)|data_(urodzenia|rozhdeniya|narozeni|nasterii)|datum_(narozeni|rodenja)"
    r"|szuletes(i_(datum|ido))?|dogum_?(tarihi|gunu)|dn_?date"
)

STRONG: tuple[tuple[ColumnType, str], ...] = (
    (
        ColumnType.EMAIL,
        (
            r"e?_?mail(_?(address|addresse?|adresse?|addr|adres|adress|id))?|mail_?address|courriel|(correo_?)?electronico"
            r"|correo(_?electronico)?|e_?post(_?adress)?|e_?posta|sahkoposti|pochta|e_?mail_?adres(se)?|mejl"
        ),
    ),
    (
        ColumnType.PHONE,
        (
            r"(tele|mobile_?|cell_?|home_?|work_?)?phone(_?(no|nr|num|number))?|mobile(_?(no|nr|num|number))?|msisdn|whatsapp"
            r"|tele(f|ph)on(e|o|i)?(_?(nummer|nr|no|num|numer|szam))?|tel(_?(no|nr|num|number))?|handy(_?(nummer|nr))?"
            r"|rufnummer|portable|movil|celular|cellulare|telemovel|telefoon(nummer)?|mobiel|mobil(_?(nummer|telefon|nr))?"
            r"|gsm|puhelin(numero)?|matkapuhelin|komorka|contact_?(no|number)|cep_telefonu"
        ),
    ),
    (
        ColumnType.NATIONAL_ID,
        (
            r"ssn_?\d?|nino|nhs(_?(no|nr|num|number))?|pesel|cpf|dni|nif|nie|bsn|curp|aadhaar|personnummer|fodselsnummer|henkilotunnus"
            r"|rodne_cislo|codice_?fiscale|passport(_?(no|num|number|id))?|tax_?(id|number)|steuer_?(id|nummer)|national_?(id|number)"
            r"|(soc|social)_?sec(urity)?(_?(id|no|num|number))?|personal_?(id|number|code)|id_?card|medicare(_?(no|number|id))?|tfn"
            r"|insee|numero_(de_)?securite_sociale|tc_?kimlik(_?no)?|driver_?s?_?licen[cs]e(_?(no|num|number))?|mrn"
            r"|medical_?record_?(no|num|number)|voter_?(reg_?)?(id|num|number)|ssn_?(last_?)?4"
        ),
    ),
    (ColumnType.BIRTH_DATE, _BIRTH),
    (
        ColumnType.AGE,
        (
            r"birth_?(year|yr)|year_?of_?birth|yob|dob_?(year|yyyy)|geburtsjahr|jahrgang|annee_(de_)?naissance|anno_(di_)?nascita"
            r"|ano_(de_)?(nacimiento|nascimento)|geboortejaar|fodelsear|rok_(urodzenia|narozeni)"
        ),
    ),
    (
        ColumnType.SEX,
        r"sex|gender(_?(code|cd))?|sex_?(code|cd)|geschlecht|sexe|sexo|sesso|genero|geslacht|kjonn|sukupuoli|plec|pohlavi|cinsiyet",
    ),
    (ColumnType.INITIAL, r"(middle|first|given)_?initials?"),
    (
        ColumnType.FULL_NAME,
        (
            r"(full|complete|display)_?name|(first|fore|given)_?(name_?)?(and|und|et|y|e|i)_?(sur|last|family)_?name|imie_i_nazwisko"
            r"|(vorname|name)_(und_)?(nachname|vorname)|nom_(et_)?prenom|prenom_(et_)?nom|nombre_y_apellidos?|nombre_completo"
            r"|nome_(e_)?cognome|nome_completo|nome_e_cognome|ad_?soyad|f_?i_?o|volledige_naam"
        ),
    ),
    (
        ColumnType.SURNAME,
        (
            r"sur_?names?|last_?names?|family_?name|l_?name|nachname|familienname|zuname|maiden_?name|(birth|previous)_?surname"
            r"|nom_(de_)?famille|(primer_|segundo_)?apellidos?(_?(paterno|materno))?|cognome|sobrenome|apelido|achternaam|familienaam"
            r"|efternamn|efternavn|etternavn|sukunimi|nazwisko|prijmeni|priezvisko|prezime|priimek|vezeteknev|csaladnev|familiya"
            r"|prizvyshche|soyad(i)?|soyisim|eponymo|nume_de_familie"
        ),
    ),
    (
        ColumnType.GIVEN_NAME,
        (
            r"given_?names?|first_?names?|fore_?names?|f_?name|christian_?name|midd?le?_?names?|vornamen?|rufname|prenoms?"
            r"|(primer_|segundo_)?nombres|(primer|segundo)_nombre|nombre_de_pila|primeiro_nome|voor(naam|namen)|roepnaam|fornamn"
            r"|fornavn|etunimi|imie|krestni_jmeno|jmeno|keresztnev|utonev|imya|imja|otchestvo|onoma|prenume|second_?name|nick_?name"
        ),
    ),
    (
        ColumnType.HOUSE_NUMBER,
        (
            r"(street|house|building|bldg|street_?addr(ess)?|addr(ess)?)_?(no|num|nr|number)|haus(nummer|nr)|unit_?(no|num|number)"
            r"|apartment|po_?box|huis(nummer|nr)|numero_civico|civico|nr_domu|num(ero)?_(de_)?(voie|rue|calle)|apt_?(no|num|number)"
        ),
    ),
    (
        ColumnType.POSTCODE,
        (
            r"post_?(al_?)?codes?|zip(_?code)?(_?\d)?|plz|pcode|postleitzahl|code_?postal|codigo_?postal|cod_?postal|codice_postale"
            r"|post(nummer|nr)|postinumero|kod_pocztowy|iranyitoszam|pin_?code|posta_kodu|postnr"
        ),
    ),
    (
        ColumnType.CITY,
        (
            r"city|town|suburb|locality|municipality|wohnort|stadt|gemeinde|village|ville|commune|ciudad|localidad|municipio|poblacion"
            r"|citta|comune|localita|cidade|woonplaats|plaats|gemeente|postort|poststed|kaupunki|miasto|miejscowosc|mesto|obec|varos"
            r"|telepules|gorod|sehir|ilce|birth_?place|place_?of_?birth|geburtsort|lieu_(de_)?naissance"
        ),
    ),
    (
        ColumnType.STATE,
        r"state(_?(code|cd))?|province(_?code)?|county|bundesland|provincia|provincie|estado|wojewodztwo|megye|oblast|departement",
    ),
    (
        ColumnType.ADDRESS,
        (
            r"(full|home|mailing|postal|residential|street)?_?addr(ess)?|adresse?|adress|adres|direccion|domicilio|indirizzo|endereco"
            r"|morada|adresa|gatuadress|osoite|anschrift|domicile"
        ),
    ),
    (
        ColumnType.STREET,
        (
            r"street(_?(name|address))?|address_?(line)?_?\d|addr_?(line)?_?\d|strasse|calle|straat|gata|ulica|ulice|utca|ulitsa"
            r"|street_?addr"
        ),
    ),
)
"""Words that hold wherever they stand in a name: `pt_last_name`, `traits.address.postalCode`. The first type wins."""

WEAK: tuple[tuple[ColumnType, str], ...] = (
    (ColumnType.EMAIL, r"mail"),
    (ColumnType.PHONE, r"cell|fax|telefax"),
    (ColumnType.NATIONAL_ID, r"sin|nin|cf|rfc|pan"),
    (ColumnType.AGE, r"age|alter|edad|eta|idade|leeftijd|alder|wiek|vek|yas|by"),
    (ColumnType.SEX, r"kon|pol|nem"),
    (ColumnType.INITIAL, r"initials?|mi"),
    (ColumnType.SURNAME, r"last|family|maiden|prezime"),
    (ColumnType.GIVEN_NAME, r"given|first|middle|fore|ime|ad|adi|isim"),
    (
        ColumnType.FULL_NAME,
        r"(full|customer|person|contact|display|complete|patient|client)?_?name|nom|nombre|nome|naam|namn|navn|nimi|nume|nev",
    ),
    (ColumnType.HOUSE_NUMBER, r"unit|apt|flat|suite|hnr|nr|numero"),
    (ColumnType.POSTCODE, r"cp|cap|cep|psc|indeks"),
    (ColumnType.CITY, r"ort|place|stad|by_?navn"),
    (ColumnType.STATE, r"region|department|canton|land|district|st|uf|lan|kraj"),
    (ColumnType.STREET, r"road|line_?\d|str|rue|via|rua|vej|voie"),
)
"""Words that hold only where they are all of the name, or all but whose it is."""

NO_PERSON: tuple[tuple[ColumnType, str], ...] = (
    (
        ColumnType.IGNORE,
        (
            r"(.*_)?u?u?id|rec(ord)?_?(id|no)?|rid|index|row(_?num(ber)?)?|key|cluster.*|created.*|updated.*|modified.*"
            r"|time_?stamp|.*_at|truth.*|entity.*|source_?(record_?)?id"
        ),
    ),
    (
        ColumnType.CATEGORY,
        (
            r"race(_?(code|cd))?|race_ethnicity|ethnicity|nationality|country(_?(code|cd|region))?|(name_)?suffix|language|occupation|profession|job(_?title)?|title"
            r"|religion|marital.*|blood.*|beruf|anrede|civilite|pays|pais|land"
        ),
    ),
)

_PARTS = re.compile(
    r"(.*_)?((birth|dob|geburts?)_?(month|mon|mm|monat)|month_?of_?birth|day_?of_?birth|(birth|dob)_?dd|bm|bd)"
)
"""Of a birth date, the month or the day alone."""
_OTHERS = re.compile(
    r"(^|_)(spouse|husband|wife|dependent|employer|mothers?|fathers?|parents?|guardian|emergency|doctor|physician|referr?er"
    r"|beneficiary|next_of_kin|kin|company|organi[sz]ation|firma|unternehmen|entreprise|societe|empresa|azienda|bedrijf"
    r"|foretag|business|account_name|death|deceased)(_|$)"
)
"""Of somebody else, or of a firm: it is some evidence that it is the same, but it is not the person's own name."""
_FIRM = re.compile(
    r"((company|business|firm|organi[sz]ation|account)_?(name)?|firma|firmenname|unternehmen|entreprise|societe|raison_sociale"
    r"|empresa|razon_social|azienda|ragione_sociale|bedrijf(snaam)?|foretag|org(_?name)?)"
)
_EVENTS = re.compile(
    r"(^|_)(creat(e|ed|ion)|updat(e|ed)|modif(y|ied)|load(ed)?|regist(er|ered|ration|r)|sign_?(up|ed)?|join(ed)?|login|seen"
    r"|visit(ed)?|order(ed|s)?|purchase(d)?|start(ed)?|end(ed)?|expir(y|es|ed)|hire(d)?|admission|admitted|discharged?|since|valid"
    r"|import(ed)?|export(ed)?|extract(ed)?|enrol(l|led|ment)?|insert(ed)?|opened|closed|paid|payment|subscri(bed|ption)"
    r"|activ(e|ated|ity)|contact_?date|erstellt|angelegt|geandert|cree_le|modifie|campaign|product|store|event)(_|$)"
)
"""Of something that happened, not of who somebody is."""

_WHOSE = re.compile(
    r"^(customer|person|client|user|contact|primary|secondary|main|home|work|billing|shipping|alt|patient|pt|member|traits"
    r"|cust|kunden?|cliente?|klant|kund|default|mailing|res)_|_(client|cliente|kunde|klant|kund|1|2)$"
)
_NUMBER = re.compile(r"_?\d$")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_STRONG, _WEAK, _NO_PERSON = (
    tuple((kind, re.compile(rf"(?:{pattern})")) for kind, pattern in group) for group in (STRONG, WEAK, NO_PERSON)
)

_T = ColumnType
_SCRIPTS = {
    word: kind
    for kind, words in (
        (_T.GIVEN_NAME, "名 ファーストネーム الاسم_الأول שם_פרטי ชื่อ"),
        (_T.SURNAME, "姓 苗字 성 اسم_العائلة اللقب שם_משפחה นามสกุล"),
        (_T.FULL_NAME, "姓名 氏名 名前 名字 이름 성명 الاسم שם"),
        (_T.BIRTH_DATE, "生年月日 出生日期 生日 誕生日 생년월일 생일 تاريخ_الميلاد תאריך_לידה วันเกิด"),
        (
            _T.PHONE,
            "電話番号 電話 电话 手机 手机号 手机号码 手機 携帯 携帯電話 전화 전화번호 휴대폰 الهاتف טלפון โทรศัพท์",
        ),
        (_T.EMAIL, "メール メールアドレス 邮箱 电子邮件 電子郵件 이메일 البريد_الإلكتروني אימייל อีเมล"),
        (_T.POSTCODE, "郵便番号 邮编 邮政编码 郵遞區號 우편번호"),
        (_T.ADDRESS, "住所 地址 주소 العنوان כתובת ที่อยู่"),
        (_T.CITY, "城市 市 市区町村 도시 المدينة עיר"),
        (_T.STATE, "省 省份 都道府県"),
        (_T.SEX, "性別 性别 성별 الجنس"),
        (_T.AGE, "年齢 年龄 나이"),
        (_T.NATIONAL_ID, "身份证 身份证号 身份證 주민등록번호"),
    )
    for word in words.split()
}
MOST_WORDS = 8


def plain_header(name: str) -> str:
    """`Geb.-Datum` as `geb_datum`, `birthDate` as `birth_date`."""
    return re.sub(r"[^a-z0-9]+", "_", squeeze(_CAMEL.sub("_", name.strip())).replace("'", "")).strip("_")


def is_of_a_firm(name: str) -> bool:
    return _FIRM.fullmatch(plain_header(name)) is not None


def is_of_somebody_else(name: str) -> bool:
    return _OTHERS.search(plain_header(name)) is not None


def is_of_an_event(name: str) -> bool:
    return _EVENTS.search(plain_header(name)) is not None


def read_header(name: str) -> tuple[ColumnType | None, bool]:
    """The type that a column's name says, and whether all of the name says so or only a part of it."""
    if (script := _SCRIPTS.get("_".join(name.split()))) is not None:
        return script, True
    plain = plain_header(name)
    whole = list(dict.fromkeys((plain, _NUMBER.sub("", plain), _bare(plain), plain.rpartition("__")[2])))
    for groups in ((*_STRONG, *_WEAK), _NO_PERSON):
        for candidate in whole[: 1 if groups is _NO_PERSON else None]:
            for kind, pattern in groups:
                if pattern.fullmatch(candidate):
                    return kind, True
    if _PARTS.fullmatch(plain):
        return ColumnType.CATEGORY, False
    if _OTHERS.search(plain):
        shared = _by_part(plain.split("_")[:MOST_WORDS]) in _SHARED and "maiden" not in plain
        return (ColumnType.IGNORE if shared else ColumnType.CATEGORY), False
    if _EVENTS.search(plain):
        return None, False
    return _by_part(plain.split("_")[:MOST_WORDS]), False


def _bare(plain: str) -> str:
    """Without whose it is: `pt_age`, `nom_client`."""
    return _NUMBER.sub("", _WHOSE.sub("", plain))


_SHARED = frozenset(
    {_T.SURNAME, _T.INITIAL, _T.STREET, _T.ADDRESS, _T.HOUSE_NUMBER, _T.POSTCODE, _T.CITY, _T.STATE, _T.PHONE}
)
"""Of somebody else, what is known already from a name or a number: it would count twice."""
_COUNTRY = frozenset(["country", "nationality", "pays", "pais"])
_PLACES = frozenset(["address", "addr", "adresse", "mailing", "postal"])


def _by_part(words: list[str]) -> ColumnType | None:
    """By the longest run of words that means something, the last one of equally long ones.

    Of `mailing_address_city` the city counts, and not that it is of an address.
    """
    telling = [word for word in words if word not in _PLACES]
    return (_by_run(telling, whole=True) if len(telling) < len(words) else None) or _by_run(words, whole=False)


def _by_run(words: list[str], *, whole: bool) -> ColumnType | None:
    if _COUNTRY & set(words):
        return ColumnType.CATEGORY
    for length in range(len(words) - (not whole), 0, -1):
        for start in range(len(words) - length, -1, -1):
            run = "_".join(words[start : start + length])
            for kind, pattern in _STRONG:
                if pattern.fullmatch(run) or pattern.fullmatch(_NUMBER.sub("", run)):
                    return kind
    return None
