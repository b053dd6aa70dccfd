/// An original, what of it is hashed, and what the brief receipt encloses.
struct BriefCase: CustomStringConvertible, Sendable {
  /// What the case is.
  var name: String
  /// Written with LF.
  var original: String
  /// The hashed octets in order, written with LF.
  var hashed: [String]
  /// The enclosed form, written with LF; `#0` stands for the first hash, and so on. Nil when it stays intact.
  var enclosed: String?

  var description: String { name }

  init(_ name: String, _ original: String, hashed: [String] = [], enclosed: String?) {
    self.name = name
    self.original = original
    self.hashed = hashed
    self.enclosed = enclosed
  }

  /// A multipart/mixed original with a text and one other part; `part` is what becomes of that part.
  init(_ name: String, part: String, hashed: [String] = [], becomes: String) {
    self.init(name, BriefCase.mixed(part), hashed: hashed, enclosed: BriefCase.mixed(becomes))
  }

  private static func mixed(_ part: String) -> String {
    """
    From: a@b.example
    Content-Type: multipart/mixed; boundary="m"

    preamble
    --m
    Content-Type: text/plain; charset=utf-8

    testo
    --m
    \(part)
    --m--
    epilogue

    """
  }

  /// A part that holds the hash of that number, under an ASCII name.
  static func hash(_ number: Int, _ name: String) -> String {
    """
    Content-Type: text/plain; charset="us-ascii";
     name="\(name).hash"
    Content-Transfer-Encoding: 7bit
    Content-Disposition: attachment;
     filename="\(name).hash"

    #\(number)
    """
  }
}

extension BriefCase {
  static let all: [BriefCase] = bodies + names + messages + trees + signed + edges

  /// What a body is written in does not matter: its octets as transmitted are hashed.
  private static let bodies = [
    BriefCase("plain text without a name stays", "From: a@b.example\n\ntesto\n", enclosed: "From: a@b.example\n\ntesto\n"),
    BriefCase(
      "base64 with several lines",
      part: """
        Content-Type: application/pdf; name="a.pdf"
        Content-Transfer-Encoding: base64
        Content-Disposition: attachment; filename="a.pdf"

        JVBERi0xLjQK
        AAAA
        """, hashed: ["JVBERi0xLjQK\nAAAA"], becomes: hash(0, "a.pdf")),
    BriefCase(
      "base64 with an empty line at its end, which is content",
      part: "Content-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nJVBERi0xLjQK\n", hashed: ["JVBERi0xLjQK\n"],
      becomes: hash(0, "a.pdf")),
    BriefCase(
      "quoted-printable",
      part: "Content-Type: text/html; name=\"p.html\"\nContent-Transfer-Encoding: quoted-printable\n\n<p>perch=C3=A9</p>=\n x",
      hashed: ["<p>perch=C3=A9</p>=\n x"], becomes: hash(0, "p.html")),
    BriefCase(
      "7bit text, attached", part: "Content-Disposition: attachment; filename=\"note.txt\"\n\nuno\n\ndue", hashed: ["uno\n\ndue"],
      becomes: hash(0, "note.txt")),
    BriefCase(
      "8bit text, attached", part: "Content-Transfer-Encoding: 8bit\nContent-Disposition: inline; filename=n.txt\n\nperché",
      hashed: ["perché"], becomes: hash(0, "n.txt")),
    BriefCase(
      "an empty body whose line end is the boundary's", part: "Content-Type: text/plain; name=\"vuoto.txt\"\n", hashed: [""],
      becomes: hash(0, "vuoto.txt")),
    BriefCase(
      "an empty body and an empty line, which stays", part: "Content-Type: text/plain; name=\"vuoto.txt\"\n\n", hashed: [""],
      becomes: hash(0, "vuoto.txt") + "\n"),
    BriefCase(
      "no empty line behind the header", part: "Content-Type: text/plain; name=\"senza.txt\"", hashed: [""],
      becomes: hash(0, "senza.txt")),
  ]

  /// What makes a name, and how it is written again.
  private static let names = [
    BriefCase(
      "a name in Content-Type alone", part: "Content-Type: image/png; name=logo.png\n\nx", hashed: ["x"], becomes: hash(0, "logo.png")),
    BriefCase(
      "a file name in Content-Disposition alone", part: "Content-Type: image/png\nContent-Disposition: inline; filename=\"logo.png\"\n\nx",
      hashed: ["x"], becomes: hash(0, "logo.png")),
    BriefCase(
      "the two differ: the file name of Content-Disposition",
      part: "Content-Type: image/png; name=uno.png\nContent-Disposition: attachment; filename=due.png\n\nx", hashed: ["x"],
      becomes: hash(0, "due.png")),
    BriefCase(
      "an attachment without any name stays", part: "Content-Type: application/pdf\nContent-Disposition: attachment\n\nx",
      becomes: "Content-Type: application/pdf\nContent-Disposition: attachment\n\nx"),
    BriefCase(
      "an empty name is none", part: "Content-Type: application/pdf; name=\"\"\n\nx",
      becomes: "Content-Type: application/pdf; name=\"\"\n\nx"),
    BriefCase(
      "an inline image with a name and an id",
      part: "Content-Type: image/gif; name=\"x.gif\"\nContent-ID: <i@x>\nContent-Disposition: inline\n\nR0lG", hashed: ["R0lG"],
      becomes: hash(0, "x.gif")),
    BriefCase(
      "quotes and backslashes in a name", part: "Content-Type: a/b; name=\"a \\\"b\\\\ c.txt\"\n\nx", hashed: ["x"],
      becomes: hash(0, "a \\\"b\\\\ c.txt")),
    BriefCase(
      "a name by RFC 2231",
      part: "Content-Type: a/b\nContent-Disposition: attachment; filename*=iso-8859-1'it'perch%E9.pdf\n\nx", hashed: ["x"],
      becomes: """
        Content-Type: text/plain; charset="us-ascii";
         name*=UTF-8''perch%C3%A9.pdf.hash
        Content-Transfer-Encoding: 7bit
        Content-Disposition: attachment;
         filename*=UTF-8''perch%C3%A9.pdf.hash

        #0
        """),
    BriefCase(
      "a name in encoded words", part: "Content-Type: a/b; name=\"=?utf-8?q?perch=C3=A9.pdf?=\"\n\nx", hashed: ["x"],
      becomes: """
        Content-Type: text/plain; charset="us-ascii";
         name*=UTF-8''perch%C3%A9.pdf.hash
        Content-Transfer-Encoding: 7bit
        Content-Disposition: attachment;
         filename*=UTF-8''perch%C3%A9.pdf.hash

        #0
        """),
    BriefCase(
      "a name in segments of RFC 2231, too long for one of ours",
      part: "Content-Type: a/b; name*0=\"" + String(repeating: "a", count: 60) + "\";\n name*1=\"" + String(repeating: "b", count: 60)
        + "\"\n\nx", hashed: ["x"],
      becomes: "Content-Type: text/plain; charset=\"us-ascii\";\n name*0*=UTF-8''" + String(repeating: "a", count: 54) + ";\n name*1*="
        + String(repeating: "a", count: 6) + String(repeating: "b", count: 48) + ";\n name*2*=" + String(repeating: "b", count: 12)
        + ".hash\nContent-Transfer-Encoding: 7bit\nContent-Disposition: attachment;\n filename*0*=UTF-8''"
        + String(repeating: "a", count: 54) + ";\n filename*1*=" + String(repeating: "a", count: 6) + String(repeating: "b", count: 48)
        + ";\n filename*2*=" + String(repeating: "b", count: 12) + ".hash\n\n#0"),
    BriefCase(
      "a path and a false header line in a name stay text",
      part: "Content-Type: a/b; name*=utf-8''..%2F%0D%0AX-Ricevuta%3A%20x\n\nx", hashed: ["x"],
      becomes: hash(0, "../X-Ricevuta: x")),
  ]

  private static let attached =
    "From: c@d.example\nSubject: dentro\nContent-Type: multipart/mixed; boundary=n\n\n--n\n"
    + "Content-Type: a/b; name=dentro.pdf\n\nx\n--n--\n"

  /// Attached messages go as a whole.
  private static let messages = [
    BriefCase(
      "an attached message with a name", part: "Content-Type: message/rfc822; name=\"posta.eml\"\n\n" + attached, hashed: [attached],
      becomes: hash(0, "posta.eml")),
    BriefCase(
      "an attached message without a name", part: "Content-Type: message/rfc822\n\n" + attached, hashed: [attached],
      becomes: hash(0, "message.eml")),
    BriefCase(
      "two of them", part: "Content-Type: message/rfc822\n\nFrom: x\n\nuno\n--m\nContent-Type: message/rfc822\n\nFrom: x\n\ndue",
      hashed: ["From: x\n\nuno", "From: x\n\ndue"], becomes: hash(0, "message.eml") + "\n--m\n" + hash(1, "message-2.eml")),
    BriefCase(
      "an attached message in base64, which nobody takes apart",
      part: "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nRnJvbTog", hashed: ["RnJvbTog"],
      becomes: hash(0, "message.eml")),
    BriefCase(
      "the messages of a digest",
      "Content-Type: multipart/digest; boundary=d\n\n--d\n\nFrom: x\n\nuno\n--d\nContent-Type: text/plain\n\ntesto\n--d--\n",
      hashed: ["From: x\n\nuno"],
      enclosed: "Content-Type: multipart/digest; boundary=d\n\n--d\n" + hash(0, "message.eml")
        + "\n--d\nContent-Type: text/plain\n\ntesto\n--d--\n"),
    BriefCase(
      "the original itself is an attached message", "From: a@b.example\nContent-Type: message/rfc822\nX-A: b\n\nFrom: x\n\nuno\n",
      hashed: ["From: x\n\nuno\n"], enclosed: "From: a@b.example\nX-A: b\n" + hash(0, "message.eml")),
  ]

  /// The tree stays as it is.
  private static let trees = [
    BriefCase(
      "alternatives and related parts inside of mixed",
      part: """
        Content-Type: multipart/related; boundary=r

        --r
        Content-Type: multipart/alternative; boundary=a

        --a
        Content-Type: text/plain

        testo
        --a
        Content-Type: text/html

        <b>testo</b>
        --a--
        --r
        Content-Type: image/png; name=i.png

        iVBO
        --r--
        --m
        Content-Type: a/b; name=b.bin

        zz
        """, hashed: ["iVBO", "zz"],
      becomes: """
        Content-Type: multipart/related; boundary=r

        --r
        Content-Type: multipart/alternative; boundary=a

        --a
        Content-Type: text/plain

        testo
        --a
        Content-Type: text/html

        <b>testo</b>
        --a--
        --r
        \(hash(0, "i.png"))
        --r--
        --m
        \(hash(1, "b.bin"))
        """),
    BriefCase(
      "a multipart with a name is gone into",
      part: "Content-Type: multipart/mixed; boundary=n; name=cartella\n\n--n\nContent-Type: a/b; name=x.y\n\n1\n--n--", hashed: ["1"],
      becomes: "Content-Type: multipart/mixed; boundary=n; name=cartella\n\n--n\n\(hash(0, "x.y"))\n--n--"),
    BriefCase(
      "the original itself is a named file",
      "From: a@b.example\nContent-Type: application/pdf;\n name=\"a.pdf\"\ncontent-transfer-encoding: base64\nSubject: s\n"
        + "Content-Disposition: attachment\nX-A: b\n\nJVBE\n", hashed: ["JVBE\n"],
      enclosed: "From: a@b.example\nSubject: s\nX-A: b\n" + hash(0, "a.pdf")),
    BriefCase(
      "a named original of a header only", "From: a@b.example\nContent-Disposition: inline; filename=a.txt\n", hashed: [""],
      enclosed: "From: a@b.example\n" + hash(0, "a.txt")),
    BriefCase(
      "a multipart without a boundary stays", "Content-Type: multipart/mixed\n\n--m\nContent-Type: a/b; name=x\n\nx\n--m--\n",
      enclosed: "Content-Type: multipart/mixed\n\n--m\nContent-Type: a/b; name=x\n\nx\n--m--\n"),
  ]

  private static let inner = "Content-Type: multipart/mixed; boundary=n\n\n--n\nContent-Type: text/plain\n\ntesto\n--n\n"
  private static let signature =
    "Content-Type: application/x-pkcs7-signature; name=\"smime.p7s\"\nContent-Transfer-Encoding: base64\n\nMIIB"

  /// Originals that their sender signed.
  private static let signed = [
    BriefCase(
      "multipart/signed: the first part is worked upon, the signature stays",
      "Content-Type: multipart/signed; boundary=s\n\n--s\n\(inner)Content-Type: a/b; name=a.pdf\n\nx\n--n--\n--s\n\(signature)\n--s--\n",
      hashed: ["x"],
      enclosed: "Content-Type: multipart/signed; boundary=s\n\n--s\n\(inner)\(hash(0, "a.pdf"))\n--n--\n--s\n\(signature)\n--s--\n"),
    BriefCase(
      "multipart/signed whose first part is a named file",
      "Content-Type: multipart/signed; boundary=s\n\n--s\nContent-Type: a/b; name=a.pdf\n\nx\n--s\n\(signature)\n--s--\n", hashed: ["x"],
      enclosed: "Content-Type: multipart/signed; boundary=s\n\n--s\n\(hash(0, "a.pdf"))\n--s\n\(signature)\n--s--\n"),
    BriefCase(
      "multipart/signed with a third part, which is not the first either",
      "Content-Type: multipart/signed; boundary=s\n\n--s\n\ntesto\n--s\n\(signature)\n--s\nContent-Type: a/b; name=z\n\nz\n--s--\n",
      enclosed:
        "Content-Type: multipart/signed; boundary=s\n\n--s\n\ntesto\n--s\n\(signature)\n--s\nContent-Type: a/b; name=z\n\nz\n--s--\n"),
    BriefCase(
      "multipart/signed below the top is like everything else",
      part: "Content-Type: multipart/signed; boundary=s\n\n--s\n\ntesto\n--s\n\(signature)\n--s--", hashed: ["MIIB"],
      becomes: "Content-Type: multipart/signed; boundary=s\n\n--s\n\ntesto\n--s\n\(hash(0, "smime.p7s"))\n--s--"),
    BriefCase("application/pkcs7-mime at the top", "Content-Type: application/pkcs7-mime; name=smime.p7m\n\nMIIB\n", enclosed: nil),
    BriefCase("application/x-pkcs7-mime at the top", "content-type: Application/X-PKCS7-MIME; name=smime.p7m\n\nMIIB\n", enclosed: nil),
    BriefCase(
      "a signed contract below the top, though it be pkcs7-mime",
      part: "Content-Type: application/pkcs7-mime; name=\"contratto.pdf.p7m\"\n\nMIIB", hashed: ["MIIB"],
      becomes: hash(0, "contratto.pdf.p7m")),
  ]

  /// Ends that are missing, parts that are not there.
  private static let edges = [
    BriefCase("an empty original", "", enclosed: ""),
    BriefCase("a header only", "From: a@b.example\n", enclosed: "From: a@b.example\n"),
    BriefCase(
      "no closing boundary: the last part goes to the end",
      "Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: a/b; name=x\n\n1\n",
      hashed: ["1\n"], enclosed: "Content-Type: multipart/mixed; boundary=m\n\n--m\n" + hash(0, "x")),
    BriefCase(
      "an empty last part, the end missing", "Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: a/b; name=x\n", hashed: [""],
      enclosed: "Content-Type: multipart/mixed; boundary=m\n\n--m\n" + hash(0, "x") + "\n"),
    BriefCase(
      "a boundary with spaces behind it", "Content-Type: multipart/mixed; boundary=m\n\n--m  \nContent-Type: a/b; name=x\n\n1\n--m--  \n",
      hashed: ["1"], enclosed: "Content-Type: multipart/mixed; boundary=m\n\n--m  \n" + hash(0, "x") + "\n--m--  \n"),
  ]
}
