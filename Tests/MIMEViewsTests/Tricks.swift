import Octets
import Testing

/// A message that hides its payload from one reader and shows it to another.
struct Trick: Sendable, CustomTestStringConvertible {
  var name: String
  var message: [UInt8]

  var testDescription: String { name }
}

/// The tricks, each with EICAR in it that one of the views must show in one piece.
enum Tricks {
  static let header = """
    From: anna@alfa.example.test
    To: bruno@beta.example.test
    Subject: Prova
    Date: Tue, 10 Mar 2026 09:14:58 +0100
    Message-ID: <trick@alfa.example.test>

    """
  private static let version = "MIME-Version: 1.0\n"
  static let octets = "Content-Type: application/octet-stream\n"
  static let b64 = "Content-Transfer-Encoding: base64\n"
  static let qp = "Content-Transfer-Encoding: quoted-printable\n"
  static let text = "Content-Type: text/plain\n\nBuongiorno,\nin allegato il conto.\n"
  private static let code = base64(eicar)
  static let flat = String(decoding: Base64.encode(eicar), as: UTF8.self)
  private static let part = octets + b64 + "\n" + code
  private static let good = "Content-Type: multipart/mixed; boundary=\"rosso\"\n"

  static let all: [Trick] = [
    encodings, fields, base64Bodies, quotedBodies, types, subtypes, boundaries, structures, headers, messages, codes, containers, cards,
  ].flatMap { $0 }

  private static let paddedLines = stride(from: 0, to: eicar.count, by: 10).map {
    base64(Array(eicar[$0..<min($0 + 10, eicar.count)]))
  }.joined()

  /// A text with something put in after `count` characters.
  private static func cut(_ text: String, _ count: Int, _ inside: String) -> String {
    "\(text.prefix(count))\(inside)\(text.dropFirst(count))\n"
  }

  static func whole(_ name: String, _ mime: String, _ body: String) -> Trick {
    Trick(name: name, message: Array(crlf(header + version + mime + "\n" + body).utf8))
  }

  static func parts(_ name: String, _ parts: [String], _ subtype: String = "mixed") -> Trick {
    let body = parts.map { "--rosso\n" + $0 }.joined() + "--rosso--\n"
    return whole(name, "Content-Type: multipart/\(subtype); boundary=\"rosso\"\n", body)
  }

  private static func mixed(_ name: String, _ type: String, _ line: String = "--rosso", _ closing: String = "--rosso--\n") -> Trick {
    whole(name, type, line + "\n" + text + line + "\n" + part + closing)
  }

  private static let encodings: [Trick] = [
    "\"base64\"", "base64 (davvero)", "(davvero) base64", "base64;", "base64; x=y", "7bit base64", "base64 7bit", "x-base64",
    "base-64", "b64", "", "x-unknown", "=?us-ascii?Q?base64?=", "base64.", "7bit, base64", "base64\u{1}", "base(x)64",
    "x-uuencode", "quoted-printable", "7bit", "binary",
  ].flatMap { word in
    let field = "Content-Transfer-Encoding: \(word)\n"
    return [
      whole("encoding \(word)", octets + field, code), parts("encoding of a part \(word)", [text, octets + field + "\n" + code]),
    ]
  }

  private static let fields: [Trick] = [
    "Content-Transfer-Encoding: 7bit\n" + b64, b64 + "Content-Transfer-Encoding: 7bit\n", b64 + qp, qp + b64,
    "Content-Transfer-Encoding : base64\n", "Content-Transfer-Encoding\t: base64\n", "Content-Transfer-Encoding base64\n",
    "Content-Transfer-Encoding= base64\n", "Content_Transfer_Encoding: base64\n", " Content-Transfer-Encoding: base64\n",
    "questo non va\n" + b64, "X-Vuoto: a\n \n" + b64,
  ].map { parts("fields \($0)", [text, octets + $0 + "\n" + code]) }

  private static let base64Table: [(String, String)] = [
    ("junk between", wrapped(flat.map(String.init).joined(separator: "!"), 70)), ("one in a line", wrapped(flat, 1)),
    ("three in a line", wrapped(flat, 3)), ("seven in a line", wrapped(flat, 7)),
    ("blank lines", wrapped(flat, 20).replacing("\n", with: "\n\n")),
    ("lines of dots", wrapped(flat, 20).replacing("\n", with: "\n...\n")),
    ("lines of dashes", wrapped(flat, 20).replacing("\n", with: "\n-- --\n")),
    ("strange boundaries", wrapped(flat, 20).replacing("\n", with: "\n--rossa!\n")),
    ("lines of words", wrapped(flat, 40).replacing("\n", with: "\nquesta riga, si salta\n")),
    ("padding at each line", paddedLines),
    ("padding that means nothing", cut(flat, 22, "==")), ("a line of padding", cut(flat, 40, "\n====\n")),
    ("padding first", "====\n" + flat + "\n"),
    ("padding too much", flat + "======\n"), ("padding missing", flat.replacing("=", with: "") + "\n"),
    ("text behind", flat + "\nsaluti\n"), ("text before", "Ecco il file, tutto intero:\n" + flat + "\n"),
    ("tabs", wrapped(flat, 40).replacing("\n", with: "\n\t")), ("form feeds", wrapped(flat, 40).replacing("\n", with: "\u{c}\n")),
    ("letters with accents", wrapped(flat, 10).replacing("\n", with: "è\n")),
    ("two streams", base64(Array("Buongiorno a tutte!".utf8)) + code),
    (
      "web alphabet",
      base64(Array(repeating: 0xfb, count: 12) + eicar).replacing("+", with: "-").replacing("/", with: "_")
    ),
  ]

  private static let base64Bodies: [Trick] = base64Table.flatMap { name, body in
    [parts("base64, \(name)", [text, octets + b64 + "\n" + body]), whole("base64 of the whole, \(name)", octets + b64, body)]
  }

  private static let quotedTable: [(String, String)] = [
    ("small letters", quoted(eicar, isUpper: false)), ("spaces behind soft breaks", quoted(eicar, soft: "= \t\n")),
    ("bad escape before", "=ZZ=\n" + quoted(eicar)),
    ("bad escape inside", "\(quoted(Array(eicar.prefix(30))).dropLast())=\n\(quoted(Array(eicar.dropFirst(30))))"),
    ("empty soft breaks", quoted(eicar, soft: "=\n=\n=\n")),
  ]

  private static let quotedBodies: [Trick] = quotedTable.flatMap { name, body in
    ["Quoted-Printable (x)", "q", "quoted-printable"].map { word in
      parts("\(word), \(name)", [text, octets + "Content-Transfer-Encoding: \(word)\n\n" + body])
    }
  }

  private static let types: [Trick] = [
    "Content-Type: text/plain\n" + good, good + "Content-Type: text/plain\n", good.replacing("rosso", with: "verde") + good,
    good + good.replacing("rosso", with: "verde"), "Content-Type: multipart/mixed; boundary=verde; boundary=rosso\n",
    "Content-Type: multipart/mixed; boundary=rosso; boundary=verde\n",
    "Content-Type: multipart/mixed; boundary*0=\"ros\"; boundary*1=\"so\"\n",
    "Content-Type: multipart/mixed; boundary=verde; boundary*0=ros; boundary*1=so\n",
    "Content-Type: multipart/mixed; boundary*=us-ascii'it'%72osso\n", "Content-Type: multipart/mixed; boundary=\"=?us-ascii?Q?rosso?=\"\n",
    "Content-Type: multipart/mixed; boundary=\"r\\o\\sso\"\n",
    "Content-Type: multipart/mixed (x; boundary=\"verde\"); boundary=\"rosso\"\n",
    "Content-Type: multi(x)part/mixed; boundary=\"rosso\"\n", "Content-Type: multipart / mixed; boundary=\"rosso\"\n",
    "Content-Type: multipart/mixed; boundary = \"rosso\"\n", "Content-Type: multipart/mixed boundary=\"rosso\"\n",
    "Content-Type: multipart/mixed, boundary=\"rosso\"\n", "Content-Type: multipart/mixed;;; ; boundary=\"rosso\";\n",
    "Content-Type: multipart/mixed; boundary=\"rosso\n", "Content-Type: multipart/mixed; boundary='rosso'\n",
    "Content-Type: multipart/mixed; boundary=\"rosso \"\n", "Content-Type: multipart/mixed; boundary=\"rosso\"verde\n",
    "Content-Type: multipart/mixed\n", "Content-Type: multipart/mixed; boundary=\"\"\n",
    "Content-Type: multipart/mixed; name=\"a; boundary=verde\"; boundary=rosso\n", "Content-Type : multipart/mixed; boundary=\"rosso\"\n",
    "Content-Type:\n multipart\n /mixed;\n boundary\n =\"rosso\"\n", "Content-Type: multipart/mixed;\nboundary=\"rosso\"\n",
    "Content-Type: multipart/mixed;\n \n boundary=\"rosso\"\n", "Content-Type: =?us-ascii?Q?multipart/mixed;_boundary=3Drosso?=\n",
    "Content-Type: multipart; boundary=\"rosso\"\n", "Content-Type: multipart/insieme; boundary=\"rosso\"\n",
    "questo non va\n" + good, "From anna Tue Mar 10 09:14:58 2026\n" + good, "Content-Type: multipart/mixed; boundary=\"ROSSO\"\n",
    "Content-Type: multipart/mixed; boundary=\"-rosso\"\n", "MIME-Version: 1.0\n" + good,
    good + "Content-Transfer-Encoding: base64\n",
  ].map { mixed("type \($0)", $0) }

  private static let subtypes: [Trick] =
    ["parallel", "digest", "encrypted", "appledouble", "form-data", "header-set", "signed", "related"].map {
      parts("multipart/\($0)", [$0 == "related" ? part : text, $0 == "related" ? good + "\n--rosso\n" : part, part], $0)
    }

  private static let boundaries: [Trick] = [
    "--rosso \t", "--rosso x", "--rossoverde", "--(x)rosso", "--ROSSO", "-rosso", "---rosso", " --rosso", "--\"rosso\"",
  ].map { mixed("boundary line \($0)", good, $0) }

  private static let structures: [Trick] = {
    let line = "--rosso\n"
    let end = "--rosso--\n"
    let nested = ["rosso", "rossobruno", "ros", "Rosso"].map { inner in
      let type = "Content-Type: multipart/mixed; boundary=\"\(inner)\"\n\n"
      return whole("nested \(inner)", good, "\(line)\(type)--\(inner)\n\(text)--\(inner)\n\(part)--\(inner)--\n\(end)")
    }
    let others: [Trick] = [
      mixed("not closed", good, "--rosso", ""), whole("behind the end", good, line + text + end + line + part + end),
      whole("behind the end without boundary", good, line + text + end + part),
      whole("before the first boundary", good, part + line + text + end),
      whole("header before the first boundary", good, b64 + "\n" + code + line + text + end),
      whole("closed first", good, end + line + part + end),
      whole("boundary in base64", good, line + octets + b64 + "\n" + cut(flat, 40, "\n--rosso\n") + end),
      whole("inner not closed", good, line + "Content-Type: multipart/mixed; boundary=verde\n\n--verde\n" + text + line + part + end),
    ]
    return nested + others
  }()

  private static let headerTable: [(String, String)] = [
    ("empty lines before", "\n\n" + part), ("empty line inside", octets + "\n" + b64 + "\n" + code),
    ("two empty lines inside", octets + "\n\n" + b64 + "\n" + code), ("spaces for the empty line", octets + b64 + " \t\n" + code),
    ("no empty line", octets + b64 + code), ("spaces inside", octets + "  \n" + b64 + "\n" + code),
    ("continuation first", " x\n" + part), ("odd quote", "Content-Type: application/octet-stream; name=\"a\n" + b64 + "\n" + code),
    ("semicolon at the end", "Content-Type: application/octet-stream;\n" + b64 + "\n" + code),
    ("unknown type", "Content-Type: foo/bar\n" + b64 + "\n" + code), ("no slash", "Content-Type: octets\n" + b64 + "\n" + code),
    ("no type", b64 + "\n" + code), ("colon for the empty line", octets + b64 + ":\n" + code),
  ]

  private static let headers: [Trick] = headerTable.map { parts("header, \($0.0)", [text, $0.1]) }

  private static let messages: [Trick] = {
    let inner = header + version + good.replacing("rosso", with: "verde") + "\n--verde\n" + text + "--verde\n" + part + "--verde--\n"
    let odd = Array(crlf(inner.replacing("Encoding: base64", with: "Encoding: b64")).utf8)
    let bytes = Array(crlf(inner).utf8)
    let body = "--rosso\n" + text + "--rosso\n" + part + "--rosso--\n"
    let all: [Trick] = [
      parts("message in base64", [text, "Content-Type: message/rfc822\n" + b64 + "\n" + base64(bytes)]),
      parts("message in quoted-printable", [text, "Content-Type: message/rfc822\n" + qp + "\n" + quoted(bytes)]),
      parts("odd message as a file", [text, octets + b64 + "\n" + base64(odd)]),
      parts("message/partial", ["Content-Type: message/partial; id=a; number=1; total=1\n\n" + inner]),
      parts("message/external-body", ["Content-Type: message/external-body; access-type=x\n\n" + part]),
      parts("message/x-posta", ["Content-Type: message/x-posta\n\n" + inner]),
      parts("message in text", ["Content-Type: text/plain\n\n" + inner]),
      whole("multipart in base64", good + b64, base64(Array(crlf(body).utf8))),
      whole("multipart in quoted-printable", good + qp, quoted(Array(crlf(body).utf8))),
    ]
    return all
  }()

  private static let codes: [Trick] = {
    let block = "begin 644 conto.com\n" + uuencoded(eicar) + "end\n"
    let table: [(String, String)] = [
      ("uuencode", block), ("capitals", block.replacing("begin", with: "BEGIN")),
      ("two spaces", block.replacing("begin 644", with: "begin  644")),
      ("without mode", block.replacing("begin 644", with: "begin")), ("without begin", uuencoded(eicar)),
      ("without end", block.replacing("end\n", with: "")), ("spaces", block.replacing("`", with: " ")),
      ("begin-base64", "begin-base64 644 conto.com\n" + code + "====\n"),
      ("BinHex", "(This file must be converted with BinHex 4.0)\n\n" + binHex(eicar)), ("BinHex alone", binHex(eicar)),
    ]
    return table.flatMap { name, body in
      [
        whole("in plain text: \(name)", "", "Ecco.\n\n" + body),
        parts("in a text part: \(name)", ["Content-Type: text/plain\n\nEcco.\n\n" + body]),
        parts("as x-uuencode: \(name)", [text, octets + "Content-Transfer-Encoding: x-uuencode\n\n" + body]),
      ]
    }
  }()

  private static let containers: [Trick] = {
    let mime = Array(crlf(octets + b64 + "\n" + code).utf8)
    let mail = "Content-Type: application/pkcs7-mime; smime-type=signed-data; name=\"smime.p7m\"\n" + b64
    let file = "Content-Type: application/octet-stream; name=\"conto.pdf.p7m\"\n" + b64 + "\n"
    let pieces = signedDataInPieces(eicar)
    let pem = "-----BEGIN PKCS7-----\n\(base64(pieces))-----END PKCS7-----\n"
    let all: [Trick] = [
      whole("opaque signature", mail, base64(signedData(mime))),
      whole("opaque signature in pieces", mail, base64(signedDataInPieces(mime))),
      parts("signed file", [text, file + base64(pieces)]),
      parts("signed file in base64 twice", [text, file + base64(Array(base64(pieces).utf8))]),
      parts("signed file in PEM", [text, file + base64(Array(pem.utf8))]),
      parts("signed twice", [text, file + base64(signedDataInPieces(pieces))]),
    ]
    return all
  }()
}
