/// The readable text of HTML mail: enough to find lines of a form in it. Nothing is fetched, nothing run.
enum HTMLText {
  /// Lines end where blocks do; cells of a table row are parted by tabs; quoted blocks begin their lines with ">".
  static func text(_ html: String) -> String {
    var maker = HTMLTextMaker(html)
    return maker.run()
  }
}

private struct HTMLTextMaker {
  private var rest: Substring.UnicodeScalarView
  private var out = String.UnicodeScalarView()
  private var line = String.UnicodeScalarView()
  private var quoteDepth = 0

  init(_ html: String) { rest = Substring(html).unicodeScalars }

  mutating func run() -> String {
    while let scalar = rest.first {
      switch scalar {
      case "<": tag()
      case "&": entity()
      default:
        rest.removeFirst()
        put(scalar == "\n" || scalar == "\r" || scalar == "\t" ? " " : scalar)
      }
    }
    endLine()
    return String(out)
  }

  private mutating func put(_ scalar: Unicode.Scalar) {
    if scalar == " ", line.last == " " || line.last == "\t" || line.isEmpty { return }
    line.append(scalar)
  }

  private mutating func endLine() {
    while let last = line.last, last == " " || last == "\t" { line.removeLast() }
    if quoteDepth > 0, !line.isEmpty { out.append(contentsOf: String(repeating: ">", count: min(quoteDepth, 9)).unicodeScalars) }
    out.append(contentsOf: line)
    out.append("\n")
    line = String.UnicodeScalarView()
  }

  // MARK: Tags

  private static let blocks: Set<String> = [
    "p", "div", "br", "tr", "table", "li", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "body", "html", "section", "article",
    "header", "footer", "dl", "dt", "dd", "pre", "form", "center", "address", "title", "tbody", "thead",
  ]
  /// Their content is not read.
  private static let hidden: Set<String> = ["script", "style", "head", "template", "noscript", "svg", "object"]

  private mutating func tag() {
    rest.removeFirst()
    if rest.starts(with: "!--".unicodeScalars) {
      skip(past: "-->")
      return
    }
    var body = rest
    let isEnd = body.first == "/"
    if isEnd { body.removeFirst() }
    let name = String(String.UnicodeScalarView(body.prefix { $0.isASCII && $0.properties.isAlphabetic || "0"..."9" ~= $0 })).lowercased()
    guard !name.isEmpty || body.first == "!" || body.first == "?" else {
      // A sign and no tag: "a < b".
      put("<")
      return
    }
    // An address in angle brackets that nobody escaped is text, and often the value that is looked for.
    if !isEnd, let address = bareAddress(rest) {
      for scalar in "<\(address)>".unicodeScalars { put(scalar) }
      rest = rest.dropFirst(address.unicodeScalars.count + 1)
      return
    }
    skipTag()
    if HTMLTextMaker.hidden.contains(name), !isEnd { skip(past: "</\(name)") }
    if HTMLTextMaker.hidden.contains(name) {
      if !isEnd { skipTag() }
      return
    }
    switch name {
    case "blockquote":
      endLine()
      quoteDepth = max(0, quoteDepth + (isEnd ? -1 : 1))
    case "td", "th":
      if isEnd { line.append("\t") }
    default:
      if HTMLTextMaker.blocks.contains(name) { endLine() }
    }
  }

  private func bareAddress(_ text: Substring.UnicodeScalarView) -> String? {
    let inner = text.prefix(300).prefix { $0 != ">" && $0 != "<" && $0 != " " && $0 != "\"" && $0 != "=" }
    guard text.dropFirst(inner.count).first == ">", inner.contains("@") else { return nil }
    return String(String.UnicodeScalarView(inner))
  }

  /// Past the ">" of the tag at hand, quoted values aside.
  private mutating func skipTag() {
    var quote: Unicode.Scalar?
    while let scalar = rest.popFirst() {
      if let open = quote {
        if scalar == open { quote = nil }
      } else if scalar == ">" {
        return
      } else if scalar == "\"" || scalar == "'" {
        quote = scalar
      }
    }
  }

  /// Past the next occurrence of `mark`, ASCII case aside, or to the end.
  private mutating func skip(past mark: String) {
    let wanted = Array(mark.unicodeScalars)
    while !rest.isEmpty {
      var probe = rest
      var matches = true
      for scalar in wanted {
        guard let next = probe.popFirst(), next == scalar || next.properties.lowercaseMapping == String(scalar) else {
          matches = false
          break
        }
      }
      if matches {
        rest = probe
        return
      }
      rest.removeFirst()
    }
  }

  // MARK: Entities

  private static let named: [String: Unicode.Scalar] = [
    "amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'", "nbsp": " ", "agrave": "à", "egrave": "è", "eacute": "é", "igrave": "ì",
    "ograve": "ò", "ugrave": "ù", "Agrave": "À", "Egrave": "È", "laquo": "«", "raquo": "»", "ldquo": "“", "rdquo": "”", "lsquo": "‘",
    "rsquo": "’", "ndash": "–", "mdash": "—", "commat": "@", "period": ".", "colon": ":", "sol": "/", "deg": "°", "ordm": "º",
    "bull": "•", "middot": "·", "hyphen": "-", "lowbar": "_", "ensp": " ", "emsp": " ", "thinsp": " ",
  ]

  private mutating func entity() {
    let name = rest.dropFirst().prefix(12).prefix { $0 != ";" && $0 != " " && $0 != "<" && $0 != "&" }
    let behind = rest.dropFirst(1 + name.count)
    guard behind.first == ";", let scalar = HTMLTextMaker.scalar(String(String.UnicodeScalarView(name))) else {
      rest.removeFirst()
      put("&")
      return
    }
    rest = behind.dropFirst()
    put(scalar == "\n" || scalar == "\r" || scalar == "\t" ? " " : scalar)
  }

  private static func scalar(_ name: String) -> Unicode.Scalar? {
    guard name.hasPrefix("#") else { return named[name] }
    let digits = name.dropFirst()
    let isHex = digits.first == "x" || digits.first == "X"
    guard let value = UInt32(isHex ? digits.dropFirst() : digits, radix: isHex ? 16 : 10) else { return nil }
    return value == 0xa0 ? " " : Unicode.Scalar(value)
  }
}
