/// Writes a page as HTML that stands alone: no script, nothing fetched, fit for paper and for readers of screens.
enum HTMLWriter {
  static func write(_ page: ExtractPage) -> [UInt8] {
    var out = HTML()
    out.raw("<!DOCTYPE html>\n<html lang=\"it\">\n<head>\n<meta charset=\"utf-8\"/>\n")
    out.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n")
    out.raw(
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<meta name=\"robots\" content=\"noindex\"/>\n<title>")
    out.text(page.title)
    out.raw("</title>\n<style>\n\(style)</style>\n</head>\n<body>\n<main>\n")
    for block in page.blocks { write(block, &out) }
    out.raw("</main>\n</body>\n</html>\n")
    return out.octets
  }

  private static func write(_ block: ExtractBlock, _ out: inout HTML) {
    switch block {
    case .heading(let text, let level): out.element("h\(max(1, min(3, level)))", text)
    case .paragraph(let text): out.element("p", text)
    case .commands(let text): out.element("pre", text)
    case .facts(let facts):
      out.raw("<dl>\n")
      for fact in facts {
        out.raw("<div>")
        out.element("dt", fact.name, end: "")
        out.element("dd", fact.value, end: "")
        out.raw("</div>\n")
      }
      out.raw("</dl>\n")
    case .table(let table): write(table, &out)
    }
  }

  private static func write(_ table: ExtractTable, _ out: inout HTML) {
    // Wide tables scroll by themselves on a narrow screen, also by the keyboard.
    out.raw("<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"")
    out.text(table.caption)
    out.raw("\">\n<table>\n")
    out.element("caption", table.caption)
    let shares = table.columns.map { $0.share.isFinite && $0.share > 0 ? $0.share : 1 }
    let inAll = shares.reduce(0, +)
    out.raw("<colgroup>")
    for share in shares { out.raw("<col style=\"width:\(Int(share / inAll * 100))%\"/>") }
    out.raw("</colgroup>\n<thead><tr>")
    for column in table.columns { out.element("th scope=\"col\"", column.heading, end: "") }
    out.raw("</tr></thead>\n<tbody>\n")
    for row in table.rows {
      out.raw("<tr>")
      for (index, cell) in row.enumerated() { out.element(index == 0 ? "th scope=\"row\"" : "td", cell, end: "") }
      out.raw("</tr>\n")
    }
    out.raw("</tbody>\n</table>\n</div>\n")
  }

  private static let style = """
    :root { color-scheme: light; }
    body { margin: 0; background: #fff; color: #111; font: 16px/1.5 "Titillium Web", "DejaVu Sans", Verdana, sans-serif; }
    main { max-width: 62rem; margin: 0 auto; padding: 1.5rem; }
    h1 { font-size: 1.7rem; line-height: 1.2; border-bottom: 3px solid #111; padding-bottom: .5rem; }
    h2 { font-size: 1.25rem; margin-top: 2.2rem; border-bottom: 1px solid #888; }
    h3 { font-size: 1.05rem; margin-top: 1.6rem; overflow-wrap: anywhere; }
    p { max-width: 46rem; white-space: pre-line; }
    dl { margin: .8rem 0; }
    dl > div { display: flex; gap: 1rem; padding: .15rem 0; }
    dt { flex: 0 0 13rem; font-weight: bold; }
    dd { margin: 0; overflow-wrap: anywhere; white-space: pre-line; }
    .wide { overflow-x: auto; }
    .wide:focus { outline: 2px solid #06c; }
    table { border-collapse: collapse; width: 100%; font-size: .85rem; }
    caption { text-align: left; font-weight: bold; padding: .4rem 0; }
    th, td { border: 1px solid #999; padding: .35rem .5rem; text-align: left; vertical-align: top; overflow-wrap: anywhere; min-width: 4rem; }
    td { white-space: pre-line; }
    thead th { background: #e8e8e8; overflow-wrap: normal; }
    tbody th { font-weight: normal; min-width: 2rem; }
    pre { background: #f3f3f3; border-left: 4px solid #555; padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
    @media (max-width: 40rem) { dl > div { display: block; } }
    @media print {
      body { font-size: 10pt; } main { max-width: none; padding: 0; } .wide { overflow: visible; }
      table { font-size: 7.5pt; } th, td { padding: .2rem .3rem; min-width: 0; }
      thead { display: table-header-group; } tr { break-inside: avoid; } h2, h3, caption { break-after: avoid; }
    }

    """

  /// Octets of a page that are being written.
  private struct HTML {
    var octets: [UInt8] = []

    mutating func raw(_ text: String) { octets.append(contentsOf: text.utf8) }

    /// What is neither tag nor quote any more.
    mutating func text(_ text: String) {
      for octet in text.utf8 {
        switch octet {
        case UInt8(ascii: "&"): raw("&amp;")
        case UInt8(ascii: "<"): raw("&lt;")
        case UInt8(ascii: ">"): raw("&gt;")
        case UInt8(ascii: "\""): raw("&quot;")
        case UInt8(ascii: "'"): raw("&#39;")
        default: octets.append(octet)
        }
      }
    }

    mutating func element(_ tag: String, _ words: String, end: String = "\n") {
      raw("<\(tag)>")
      text(words)
      raw("</\(tag.prefix { $0 != " " })>\(end)")
    }
  }
}

/// Writes a page as plain text, for whom has nothing but a terminal.
enum PlainWriter {
  private static let width = 78

  static func write(_ page: ExtractPage) -> [UInt8] {
    var out = ""
    for block in page.blocks {
      switch block {
      case .heading(let text, let level):
        out += (out.isEmpty ? "" : "\n") + text + "\n"
        if level < 3 { out += String(repeating: level == 1 ? "=" : "-", count: text.count) + "\n" }
        out += "\n"
      case .paragraph(let text): out += text.split(separator: "\n").map { wrapped(String($0)) + "\n" }.joined() + "\n"
      case .commands(let text):
        out += text.split(separator: "\n", omittingEmptySubsequences: false).map { "    \($0)\n" }.joined() + "\n"
      case .facts(let facts): out += facts.map { "  \($0.name): \($0.value)\n" }.joined() + "\n"
      case .table(let table):
        out += table.caption + "\n\n"
        for row in table.rows { out += zip(table.columns, row).map { "  \($0.heading): \($1)\n" }.joined() + "\n" }
      }
    }
    return Array(out.utf8)
  }

  private static func wrapped(_ text: String) -> String {
    var lines: [String] = []
    for word in text.split(separator: " ") {
      if let last = lines.last, last.count + 1 + word.count <= width {
        lines[lines.count - 1] += " " + word
      } else {
        lines.append(String(word))
      }
    }
    return lines.joined(separator: "\n")
  }
}
