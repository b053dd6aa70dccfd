/// A message (LF stands for CRLF), the tree it must give, and the flags beside it.
struct TreeCase: CustomStringConvertible {
  var name: String
  var message: String
  var tree: String
  var flags: [String] = []
  var description: String { name }
}

let treeCases: [TreeCase] = [
  TreeCase(name: "plain", message: "From: a@b.it\n\nCiao\n", tree: "text/plain[Ciao|]"),
  TreeCase(name: "empty body", message: "From: a@b.it\n\n", tree: "text/plain[]"),
  TreeCase(name: "header only", message: "From: a@b.it\nTo: c@d.it\n", tree: "text/plain[]"),
  TreeCase(name: "header only, no line end", message: "From: a@b.it", tree: "text/plain[]"),
  TreeCase(name: "nothing", message: "", tree: "text/plain[]", flags: ["noHeader"]),
  TreeCase(name: "empty line first", message: "\nbody\n", tree: "text/plain[body|]", flags: ["noHeader"]),
  TreeCase(name: "no line end at the end", message: "From: a@b.it\n\nCiao", tree: "text/plain[Ciao]"),
  TreeCase(name: "type in capitals", message: "Content-Type: TEXT/HTML\n\n<p>", tree: "text/html[<p>]"),
  TreeCase(
    name: "alternative",
    message: "Content-Type: multipart/alternative; boundary=b\n\n--b\n\nuno\n--b\nContent-Type: text/html\n\ndue\n--b--\n",
    tree: "multipart/alternative{text/plain[uno] text/html[due]}"),
  TreeCase(
    name: "preamble and epilogue",
    message: "Content-Type: multipart/mixed; boundary=\"b\"\n\npreamble\n--not\n--b\n\nuno\n\n--b--\nepilogue\n--x\n",
    tree: "multipart/mixed{text/plain[uno|]}"),
  TreeCase(
    name: "quoted boundary with specials",
    message: "Content-Type: multipart/mixed; boundary=\"=_a:b;(c) d\\\"e\"\n\n--=_a:b;(c) d\"e\n\nx\n--=_a:b;(c) d\"e--",
    tree: "multipart/mixed{text/plain[x]}"),
  TreeCase(
    name: "unquoted boundary with specials",
    message: "Content-Type: multipart/mixed; boundary==_Part:1/2?=x; charset=utf-8\n\n--=_Part:1/2?=x\n\nx\n--=_Part:1/2?=x--",
    tree: "multipart/mixed{text/plain[x]}"),
  TreeCase(
    name: "comment in the type",
    message: "Content-Type: (a (nested) one) multipart / mixed (here) ; (there) boundary (x) = (y) b (z)\n\n--b\n\nx\n--b--",
    tree: "multipart/mixed{text/plain[x]}"),
  TreeCase(
    name: "folded parameter", message: "Content-Type: multipart/mixed;\n\tboundary=\n \"b c\"\n\n--b c\n\nx\n--b c--\n",
    tree: "multipart/mixed{text/plain[x]}"),
  TreeCase(
    name: "boundary by continuations",
    message: "Content-Type: multipart/mixed; boundary*0=ab; boundary*1=\"cd\"\n\n--abcd\n\nx\n--abcd--\n",
    tree: "multipart/mixed{text/plain[x]}"),
  TreeCase(
    name: "padding behind the boundary", message: "Content-Type: multipart/mixed; boundary=b\n\n--b \t\n\nx\n--b-- \nend",
    tree: "multipart/mixed{text/plain[x]}"),
  TreeCase(
    name: "boundary at once, no empty line before", message: "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--b\n\n\n--b--",
    tree: "multipart/mixed{text/plain[] text/plain[]}"),
  TreeCase(
    name: "part without header and empty line",
    message: "Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\nContent-Type: text/html\n--b--\n",
    tree: "multipart/mixed{text/plain[] text/html[]}"),
  TreeCase(
    name: "closed at once", message: "Content-Type: multipart/mixed; boundary=b\n\n--b--\nx", tree: "multipart/mixed{}"),
  TreeCase(
    name: "never opened", message: "Content-Type: multipart/mixed; boundary=b\n\nonly text\n", tree: "multipart/mixed?{}",
    flags: ["missingClosingBoundary"]),
  TreeCase(
    name: "missing closing boundary", message: "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nuno\n--b\n\ndue\n",
    tree: "multipart/mixed?{text/plain[uno] text/plain[due|]}", flags: ["missingClosingBoundary"]),
  TreeCase(
    name: "closing boundary is the last octet", message: "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nuno\n--b--",
    tree: "multipart/mixed{text/plain[uno]}"),
  TreeCase(
    name: "no boundary", message: "Content-Type: multipart/mixed\n\n--b\n\nx\n--b--", tree: "multipart/mixed[--b||x|--b--]",
    flags: ["missingBoundary"]),
  TreeCase(
    name: "empty boundary", message: "Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\nx\n----", tree: "multipart/mixed[--||x|----]",
    flags: ["missingBoundary"]),
  TreeCase(
    name: "two boundaries", message: "Content-Type: multipart/mixed; boundary=b; boundary=c\n\n--b\n\nx\n--b--",
    tree: "multipart/mixed{text/plain[x]}", flags: ["ambiguousBoundary"]),
  TreeCase(
    name: "nested",
    message:
      "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/related; boundary=i\n\n--i\n\nuno\n--i--\n\n--o\n\ndue\n--o--",
    tree: "multipart/mixed{multipart/related{text/plain[uno]} text/plain[due]}"),
  TreeCase(
    name: "inner not closed",
    message:
      "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/related; boundary=i\n\n--i\n\nuno\n--o\n\ndue\n--o--",
    tree: "multipart/mixed{multipart/related?{text/plain[uno]} text/plain[due]}", flags: ["missingClosingBoundary"]),
  TreeCase(
    name: "outer boundary begins the inner",
    message:
      "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/related; boundary=b1\n\n--b1\n\nuno\n--b1--\n--b\n\ndue\n--b--",
    tree: "multipart/mixed{multipart/related{text/plain[uno]} text/plain[due]}"),
  TreeCase(
    name: "inner boundary begins the outer",
    message:
      "Content-Type: multipart/mixed; boundary=b1\n\n--b1\nContent-Type: multipart/related; boundary=b\n\n--b\n\nuno\n--b--\n--b1\n\ndue\n--b1--",
    tree: "multipart/mixed{multipart/related{text/plain[uno]} text/plain[due]}"),
  TreeCase(
    name: "a line that only begins with the boundary", message: "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nuno\n--bc\ndue\n--b--",
    tree: "multipart/mixed{text/plain[uno|--bc|due]}", flags: ["ambiguousBoundary"]),
  TreeCase(
    name: "the same boundary at two levels",
    message: "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/related; boundary=b\n\n--b\n\nuno\n--b--\n--b--",
    tree: "multipart/mixed{multipart/related{text/plain[uno]}}", flags: ["ambiguousBoundary"]),
  TreeCase(
    name: "a delimiter behind the closing one",
    message: "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nuno\n--b--\n--b\n\ndue\n--b--",
    tree: "multipart/mixed{text/plain[uno]}", flags: ["ambiguousBoundary"]),
  TreeCase(
    name: "boundary of hyphens", message: "Content-Type: multipart/mixed; boundary=\"----=_P\"\n\n------=_P\n\nuno\n----\n------=_P--\n",
    tree: "multipart/mixed{text/plain[uno|----]}"),
  TreeCase(
    name: "attached message",
    message: "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: in\n\ntext\n--b--",
    tree: "multipart/mixed{message/rfc822<text/plain[text]>}"),
  TreeCase(
    name: "attached multipart message",
    message:
      "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nuno\n--c--\n--b\n\ndue\n--b--",
    tree: "multipart/mixed{message/rfc822<multipart/mixed{text/plain[uno]}> text/plain[due]}"),
  TreeCase(
    name: "the message is an attached message", message: "Content-Type: message/rfc822\n\nContent-Type: message/rfc822\n\nA: b\n\nx",
    tree: "message/rfc822<message/rfc822<text/plain[x]>>"),
  TreeCase(
    name: "attached message is header only",
    message: "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nA: b\n--b--",
    tree: "multipart/mixed{message/rfc822<text/plain[]>}"),
  TreeCase(
    name: "attached message in base64", message: "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nQQ==\n",
    tree: "message/rfc822[QQ==|]", flags: ["malformedContentHeader"]),
  TreeCase(
    name: "digest", message: "Content-Type: multipart/digest; boundary=b\n\n--b\n\nA: b\n\nuno\n--b\nContent-Type: text/html\n\ndue\n--b--",
    tree: "multipart/digest{message/rfc822<text/plain[uno]> text/html[due]}"),
  TreeCase(
    name: "signed",
    message:
      "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=S\n\nThis is an S/MIME signed message\n\n--S\nContent-Type: multipart/mixed; boundary=M\n\n--M\n\ntesto\n\n--M--\n\n--S\nContent-Type: application/pkcs7-signature; name=smime.p7s\n\nQQ==\n\n--S--\n",
    tree: "multipart/signed{multipart/mixed{text/plain[testo|]} application/pkcs7-signature[QQ==|]}"),
  TreeCase(
    name: "doubled type, the first holds",
    message: "Content-Type: multipart/mixed; boundary=b\nContent-Type: text/plain\n\n--b\n\nx\n--b--",
    tree: "multipart/mixed{text/plain[x]}", flags: ["doubledContentHeader"]),
  TreeCase(name: "type without subtype", message: "Content-Type: text\n\nx", tree: "text/plain[x]", flags: ["malformedContentHeader"]),
  TreeCase(name: "type is rubbish", message: "Content-Type: ;;=\"\n\nx", tree: "text/plain[x]", flags: ["malformedContentHeader"]),
  TreeCase(name: "empty type", message: "Content-Type:\n\nx", tree: "text/plain[x]", flags: ["malformedContentHeader"]),
  TreeCase(
    name: "missing semicolon", message: "Content-Type: multipart/mixed boundary=b\n\n--b\n\nx\n--b--",
    tree: "multipart/mixed{text/plain[x]}",
    flags: ["malformedContentHeader"]),
  TreeCase(
    name: "boundary in a header of a part",
    message: "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\nX: y\n--b\n\nz\n--b--",
    tree: "multipart/mixed{text/html[] text/plain[z]}"),
  TreeCase(
    name: "multipart ended in its header",
    message: "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n--b--",
    tree: "multipart/mixed{multipart/mixed?{}}", flags: ["missingClosingBoundary"]),
  TreeCase(
    name: "rubbish in a part's header",
    message: "Content-Type: multipart/mixed; boundary=b\n\n--b\nno colon here\nContent-Type: text/html\n\nx\n--b--",
    tree: "multipart/mixed{text/html[x]}", flags: ["malformedPartHeader"]),
  TreeCase(
    name: "eight-bit boundary", message: "Content-Type: multipart/mixed; boundary=\"è\"\n\n--è\n\nx\n--è--",
    tree: "multipart/mixed{text/plain[x]}",
    flags: ["eightBitHeader", "eightBitBody"]),
  TreeCase(
    name: "indented boundary is none", message: "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n --b\ny\n--b--",
    tree: "multipart/mixed{text/plain[x| --b|y]}"),
  TreeCase(
    name: "boundary behind an unterminated line", message: "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx--b\n-\n--\n---\n--b--",
    tree: "multipart/mixed{text/plain[x--b|-|--|---]}"),
]

/// Messages whose line ends are what is odd about them, so that they are written out.
let rawTreeCases: [TreeCase] = [
  TreeCase(
    name: "LF line ends", message: "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nuno\n\n--b--\n",
    tree: "multipart/mixed{text/plain[uno/]}",
    flags: ["bareLineFeed"]),
  TreeCase(
    name: "mixed line ends", message: "Content-Type: multipart/mixed; boundary=b\r\n\n--b\r\n\r\nuno\n--b\n\r\ndue\r\n--b--\n",
    tree: "multipart/mixed{text/plain[uno] text/plain[due]}", flags: ["bareLineFeed"]),
  TreeCase(
    name: "CR is no line end", message: "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nuno\r--b\r\n--b--\r\n",
    tree: "multipart/mixed{text/plain[uno\r--b]}", flags: ["bareCarriageReturn"]),
  TreeCase(
    name: "CR CR LF is no empty line", message: "A: b\r\n\r\r\nc: d\r\n\r\nx", tree: "text/plain[x]",
    flags: ["malformedHeaderLine", "bareCarriageReturn"]),
  TreeCase(name: "CR at the end", message: "A: b\r\n\r\nx\r", tree: "text/plain[x\r]", flags: ["bareCarriageReturn"]),
  TreeCase(name: "LF at the start", message: "\nA: b\r\n", tree: "text/plain[A: b|]", flags: ["bareLineFeed", "noHeader"]),
  TreeCase(name: "NUL", message: "A: b\r\n\r\nx\0y", tree: "text/plain[x\0y]", flags: ["nulOctet"]),
]
