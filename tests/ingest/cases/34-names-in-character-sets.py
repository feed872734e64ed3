from kit import *

# Names of structures in GB18030, GBK, Japanese with escapes (\ISO 2022 IR 87), Cyrillic, UTF-8,
# Latin-1 declared, Latin-1 undeclared, and a misspelt set.
fresh()
cases = {"gb18030": ("GB18030", "肝脏", "gb18030"), "gbk": ("GBK", "肝脏", "gbk"), "ir58": (["", "ISO 2022 IR 58"], "肝脏", "iso2022"), "ir87": (["", "ISO 2022 IR 87"], "肝臓", "iso2022_jp"),
         "cyr": ("ISO_IR 144", "Печень", "iso8859_5"), "utf8": ("ISO_IR 192", "Fígado-肝", "utf8"), "latin1": ("ISO_IR 100", "Hüftkopf", "latin1"),
         "undeclared": (None, "Hüftkopf", "latin1"), "misspelt": ("ISO IR 100", "Hüftkopf", "latin1"), "utf8name": ("UTF-8", "Hüftkopf", "utf8"), "ir149": (["", "ISO 2022 IR 149"], "간", "euc_kr")}
for k, (key, (charset, name, codec)) in enumerate(cases.items()):
    made, volume = ct_series(DATA / key, [0, 3, 6, 9], patient=key, study=50 + k)
    c = [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (3, 6)]
    path = DATA / key / "rs.dcm"
    mark = "XXXXXXXXXXXXXXXXXXXXXXXX"
    rtstruct(path, made, [(1, mark, c)], series=200 + k, charset="ISO_IR 100")
    if codec == "iso2022": raw = b"\x1b$)A" + name.encode("gb2312")
    elif key == "ir149": raw = b"\x1b$)C" + name.encode("euc_kr")
    else: raw = name.encode(codec)
    ds = pydicom.dcmread(path)
    data = path.read_bytes()
    raw = raw + b" " * (len(mark) - len(raw))
    data = data.replace(mark.encode(), raw)
    old = b"\x08\x00\x05\x00CS" + len("ISO_IR 100").to_bytes(2, "little") + b"ISO_IR 100"
    assert old in data
    text = "\\".join(charset) if isinstance(charset, list) else charset
    new = b"" if text is None else b"\x08\x00\x05\x00CS" + (len(text) + len(text) % 2).to_bytes(2, "little") + text.encode() + b" " * (len(text) % 2)
    path.write_bytes(data.replace(old, new))
print({k: v[1] for k, v in cases.items()})
