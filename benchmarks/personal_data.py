"""How well the built-in patterns find personal data and secrets: precision and recall by type.

    python -m benchmarks.personal_data [--missed]

The texts are made, from a seed: values of each type in the forms that people write them in, within sentences,
logs and code in English and Chinese, and texts without any that look like them. The generators know nothing
of the patterns. A form that is not found stays in the set: the table is what to expect, not what was picked.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llmtrace.redaction.redactor import Redactor

SEED = 20261129
_TEXTS_OF_TYPE = 300

#: What a value stands in. `{}` is the value.
_AROUND = (
    "{}",
    "please call or write: {}",
    "my data is {}, thanks",
    "我的信息是{}，请帮我查一下",
    "联系方式：{}。",
    '{{"field": "{}", "ok": true}}',
    "2026-11-29 12:30:45 INFO user={} status=200",
    "({})",
    "first line\n{}\nlast line",
    "qty 2 {} end",
)

_WIDE = str.maketrans("0123456789-+", "０１２３４５６７８９－＋")


@dataclass(frozen=True)
class Sample:
    """One text: `value` is what must go, of the type `kind`; both are empty where nothing must."""

    text: str
    kind: str = ""
    value: str = ""


_ALPHABETS = {
    "d": "0123456789",
    "h": "0123456789abcdef",
    "u": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "w": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
}


def _filled(rng: random.Random, form: str) -> str:
    """`form` with `{d4}` as four digits, `{h4}` hexadecimal ones, `{u4}` capitals, `{w4}` of all of these."""
    return re.sub(
        r"\{([dhuw])(\d+)\}",
        lambda match: "".join(rng.choices(_ALPHABETS[match.group(1)], k=int(match.group(2)))),
        form,
    )


def _digits(rng: random.Random, count: int) -> str:
    return _filled(rng, f"{{d{count}}}")


def _luhn(body: str) -> str:
    total = sum(
        (2 * int(d) - 9 * (int(d) > 4)) if place % 2 == 0 else int(d)
        for place, d in enumerate(reversed(body))
    )
    return body + str(-total % 10)


def _mobile(rng: random.Random) -> str:
    carriers = "134 135 136 137 138 139 147 150 151 152 157 158 159 172 178 182 183 184 187 188 195 197 198 "
    carriers += (
        "130 131 132 145 155 156 166 175 176 185 186 196 133 149 153 173 177 180 181 189 190 191 193 199"
    )
    number = rng.choice(carriers.split()) + _digits(rng, 8)
    a, b, c = number[:3], number[3:7], number[7:]
    forms = [number] * 6 + [f"{a} {b} {c}", f"{a}-{b}-{c}"] * 2
    forms += [
        f"+86 {number}",
        f"+86{number}",
        f"+86-{number}",
        f"+86 {a} {b} {c}",
        f"0086{number}",
        f"86{number}",
    ]
    forms += [f"(+86){number}", number.translate(_WIDE), f"{a}.{b}.{c}", " ".join(number)]
    return rng.choice(forms)


def _identity(rng: random.Random) -> str:
    region = rng.choice("110105 310101 440106 510107 330106 420111 650102 820000 130102 370202".split())
    born = f"{rng.randint(1935, 2020)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}"
    body = region + born + _digits(rng, 3)
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    check = "10X98765432"[sum(int(d) * w for d, w in zip(body, weights, strict=True)) % 11]
    number = body + check
    forms = [number] * 12 + [number.lower(), f"{number[:6]} {number[6:14]} {number[14:]}"]
    forms += [f"{number[:6]}-{number[6:14]}-{number[14:]}", number.translate(_WIDE)]
    forms += [region + born[2:] + _digits(rng, 3)]  # of before 1999: 15 digits, no check digit
    return rng.choice(forms)


def _iban(rng: random.Random) -> str:
    length = {
        "DE": 22,
        "FR": 27,
        "GB": 22,
        "NL": 18,
        "ES": 24,
        "IT": 27,
        "CH": 21,
        "AT": 20,
        "BE": 16,
        "NO": 15,
    }
    country = rng.choice(list(length))
    bank = _filled(rng, "{u4}") if country in ("GB", "NL") else ""
    body = bank + _digits(rng, length[country] - 4 - len(bank))
    number = int("".join(str(int(c, 36)) for c in f"{body}{country}00"))
    text = f"{country}{98 - number % 97:02}{body}"
    grouped = " ".join(text[n : n + 4] for n in range(0, len(text), 4))
    return rng.choice([text] * 4 + [grouped] * 4 + [grouped.replace(" ", "-"), text.lower()])


def _card(rng: random.Random) -> str:
    issuers = (("4", 16), ("53", 16), ("2345", 16), ("62", 16), ("62", 19), ("6011", 16), ("3530", 16))
    start, length = rng.choice((*issuers, ("37", 15), ("36", 14), ("621700", 19)))
    number = _luhn(start + _digits(rng, length - 1 - len(start)))
    grouped = [number[n : n + 4] for n in range(0, length, 4)]
    if length == 15:
        grouped = [number[:4], number[4:10], number[10:]]
    if length == 14:
        grouped = [number[:4], number[4:10], number[10:]]
    forms = [number] * 4 + [" ".join(grouped)] * 4 + ["-".join(grouped)] * 2
    return rng.choice([*forms, number.translate(_WIDE), ".".join(grouped)])


def _ssn(rng: random.Random) -> str:
    area = rng.choice([n for n in range(1, 900) if n != 666])
    parts = f"{area:03}", f"{rng.randint(1, 99):02}", f"{rng.randint(1, 9999):04}"
    return rng.choice(["-".join(parts)] * 8 + [" ".join(parts), "".join(parts)])


def _email(rng: random.Random) -> str:
    name = rng.choice("ann.lee bob zhang.wei li_na x mueller-k 123456789 ann+news".split())
    name += _digits(rng, 2) if "+" not in name else ""
    host = rng.choice(
        "example.org mail.example.co.uk qq.com 163.com sub.dept.example.de example.io a-b.cn".split()
    )
    forms = [f"{name}@{host}"] * 14 + [f"<{name}@{host}>", f"mailto:{name}@{host}", f"{name}＠{host}"]
    return rng.choice(
        [*forms, f"{name.upper()}@{host.upper()}", f"{name} at {host}", f"{name}@bücher.example"]
    )


def _phone(rng: random.Random) -> str:
    area = rng.randint(201, 989)
    forms = (
        f"+1 ({area}) 555-{{d4}}", f"{area}-555-{{d4}}", f"({area}) 555-{{d4}}", f"{area}.555.{{d4}}",
        "+49 228 {d7}", "+49 (0)30 {d6}", "+4915{d9}", "0{d1}1/{d7}", "+44 20 {d4} {d4}",
        "+33 6 {d2} {d2} {d2} {d2}",
        "06 {d2} {d2} {d2} {d2}", "+852 {d4} {d4}", "010-{d8}", "0755-{d8}", "(021) {d4} {d4}",
        "+81 3-{d4}-{d4}",
        "02{d1} {d7}", "0{d1}5-{d3} {d4}",
    )  # fmt: skip
    return _filled(rng, rng.choice(forms))


def _ip(rng: random.Random) -> str:
    if rng.random() < 0.7:
        return ".".join(str(rng.randint(1, 254)) for _ in range(4))
    groups = [f"{rng.getrandbits(16):x}" for _ in range(8)]
    return rng.choice([":".join(groups), ":".join(groups[:3]) + "::" + ":".join(groups[5:])])


def _key(rng: random.Random) -> str:
    forms = (
        "sk-{w48}", "sk-proj-{w40}-{w60}_{w20}", "sk-ant-api03-{w60}-{w30}AA", "AIza{w35}", "AKIA{u16}",
        "gsk_{w52}",
        "aws_secret_access_key = {w40}", "ghp_{w36}", "github_pat_{w22}_{w59}", "xoxb-{d12}-{d13}-{w24}",
        "sk_live_{w24}", "hf_{w34}", "AccountKey={w86}==", "eyJ{w20}.eyJ{w60}.{w43}", "llmt_read_{w43}",
        "LTAI{w20}",
        "AKID{w32}", "whsec_{w32}", "glpat-{w20}", "Bearer {w40}",
        "postgres://app:{w12}@db.internal:5432/main",
        "-----BEGIN PRIVATE KEY-----\n{w64}\n{w64}\n-----END PRIVATE KEY-----",
        "{h32}",  # Azure OpenAI's: nothing tells it from a hash
    )  # fmt: skip
    return _filled(rng, rng.choice(forms))


#: Type → its values, and the marks that say it was found. A mobile number of China is a phone number.
_TYPES: dict[str, tuple[Callable[[random.Random], str], tuple[str, ...]]] = {
    "mobile number of China": (_mobile, ("phone",)),
    "identity number of China": (_identity, ("identity",)),
    "phone number, other": (_phone, ("phone",)),
    "card number": (_card, ("card",)),
    "IBAN": (_iban, ("iban",)),
    "US social security number": (_ssn, ("ssn",)),
    "e-mail address": (_email, ("email",)),
    "IP address": (_ip, ("ip",)),
    "key, token or password": (_key, ("key", "token", "jwt", "private-key", "password")),
}


def _harmless(rng: random.Random) -> str:
    """Something that looks like personal data, and is none."""
    moment = rng.randint(1_600_000_000, 1_800_000_000)
    date = f"20{rng.randint(10, 30)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}"
    forms = (
        # Numbers of orders, goods and devices; the first two look just like mobile numbers and cards.
        "1{d10}", "6{d15}", "4{d15}", "{d10}", "{d12}", "{d13}", "{d17}", "{d18}", "{d19}", "#{d11}",
        "ORD-{d11}",
        f"{date}{{d10}}", "SF{d13}", "69{d11}", "978-{d1}-{d4}-{d4}-{d1}", "86{d13}", "35{d13}", "1{d18}",
        "INV-{d4}-{d2}-{d4}", "{d2}-{d7}", "{d4} {d4} {d4} {d4}",
        # Times.
        f"{moment}", f"{moment * 1000 + 123}", f"{moment * 10**6}", f"{moment * 10**9}",
        date, f"{date}123045",
        "2026-11-29T12:30:45+08:00", "29-11-2026 10:00", "01-02-2026 10:30", f"{date}123045678", "(20261129)",
        # Ids and hashes.
        "{h16}", "{h32}", "{h32}", "{h40}", "{h64}", "{h8}-{h4}-4{h3}-a{h3}-{h12}",
        "{d8}-{d4}-4{d3}-8{d3}-{h12}",
        "{h8}-{h4}-4{h3}-a{h3}-{d12}", "sha256:{h64}", "{d8}.{d2}", "{u2}{d16}", "req_{w24}",
        # Prices, quantities, versions, coordinates.
        "¥{d5}.{d2}", "${d3},{d3},{d3}", "0.{d12}", "3.{d1}.{d2}", "v10.0.19{d3}.3{d3}", "131.0.67{d2}.86",
        "{d2}.{d6}, 1{d2}.{d6}", "{d2} {d3} {d3} {d3}", "1 2 3 4 5 6 7 8 9 10 11 12 13",
        # Code.
        "x = 0x{d11}", "seed(1{d10}.5)", "a[{d3}-{d2}]", "{d3}-{d4}", "lodash@4.17.21", "@types/node@20.1.0",
        "std::vector<int> a::b", "00:1a:2b:3c:4d:5e", "900-{d2}-{d4}", "task-{w24}",
        "sk-learn-pipeline-configuration",
        "k8s-pod-{d10}-x{d4}", "color: #{d6}", "rgb({d2} {d2} {d2})", "id_1{d10}", "f(0, {d8})",
    )  # fmt: skip
    return _filled(rng, rng.choice(forms))


def samples(seed: int = SEED) -> list[Sample]:
    """The set: 300 texts of each type, and as many without any as all of these together."""
    rng = random.Random(seed)
    texts = []
    for kind, (make, _) in _TYPES.items():
        for _ in range(_TEXTS_OF_TYPE):
            value = make(rng)
            around = rng.choice(_AROUND[:5] if "\n" in value else _AROUND)
            texts.append(Sample(around.format(value), kind, value))
    texts += [Sample(rng.choice(_AROUND).format(_harmless(rng))) for _ in range(_TEXTS_OF_TYPE * len(_TYPES))]
    return texts


@dataclass
class Counts:
    """What became of one type's values: removed, left in whole or in part; and what else was marked."""

    removed: int = 0
    missed: int = 0
    wrong: int = 0

    def row(self, kind: str) -> str:
        """A row of the table."""
        precision = self.removed / (self.removed + self.wrong)
        recall = self.removed / (self.removed + self.missed)
        return f"| {kind} | {precision:.1%} | {recall:.1%} |"


def _core(value: str) -> str:
    """What of a value must go: without the words that only say what it is."""
    value = re.sub(r"^(?:<|mailto:|aws_secret_access_key = |AccountKey=|Bearer |\w+://)", "", value)
    return re.sub(r"(?:>|@db\..*)$", "", value)


def measure(
    clean: Callable[[list[str]], list[str]], texts: list[Sample]
) -> Iterator[tuple[str, Counts, list[str]]]:
    """By type: the counts, and the texts of which a value stayed or too much was taken.

    clean: texts in, redacted texts out, in order.
    """
    cleaned = clean([sample.text for sample in texts])
    for kind, (_, marks) in _TYPES.items():
        counts, odd = Counts(), []
        for sample, result in zip(texts, cleaned, strict=True):
            marked = sum(result.count(f"[redacted:{mark}]") for mark in marks)
            if sample.kind == kind:
                if marked == 1 and _gone(sample, result):
                    counts.removed += 1
                else:
                    counts.missed += 1
                    odd.append(f"missed: {sample.value!r} in {sample.text!r} → {result!r}")
            elif marked and not _same_marks(sample.kind, marks):
                counts.wrong += 1
                odd.append(f"wrong: {sample.text!r} → {result!r}")
        yield kind, counts, odd


def _gone(sample: Sample, result: str) -> bool:
    """Whether the mark took the value and nothing else: what stood before and after it is still there."""
    core = _core(sample.value)
    before, _, after = sample.text.partition(core)
    plain = result.translate(str.maketrans("０１２３４５６７８９－＋", "0123456789-+"))
    if "secret_access_key" in before:  # the words that say what it is go with it
        before = before.partition("_access_key")[0]
    return core not in result and plain.startswith(before) and plain.endswith(after)


def _same_marks(kind: str, marks: tuple[str, ...]) -> bool:
    return bool(kind) and set(_TYPES[kind][1]) & set(marks) != set()


def table(seed: int = SEED) -> list[str]:
    """The rows of the table for the SDK's patterns."""
    redactor = Redactor(secrets=True, pii=True)
    results = measure(lambda texts: [redactor.text(text) for text in texts], samples(seed))
    return [counts.row(kind) for kind, counts, _ in results]


def main() -> None:
    """Print the table, and what was missed or wrongly taken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--missed", action="store_true", help="list what was missed or wrongly taken")
    arguments = parser.parse_args()
    redactor = Redactor(secrets=True, pii=True)
    print("| What | Precision | Recall |\n|---|---|---|")
    odd: list[str] = []
    for kind, counts, of_kind in measure(lambda texts: [redactor.text(text) for text in texts], samples()):
        print(counts.row(kind))
        odd += of_kind
    if arguments.missed:
        print("\n".join(odd))


if __name__ == "__main__":
    main()
