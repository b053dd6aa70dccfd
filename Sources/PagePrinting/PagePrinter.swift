internal import CPango

/// Prints documents as PDF: A4, any script for which the machine has a font, fonts embedded, text that can be selected and searched.
///
/// Pango breaks lines and finds fonts, cairo draws. Each call has a font map of its own, so calls may run on any threads.
public enum PagePrinter {
  /// Text of a document, in octets.
  public static let textBytes = 64 << 20
  /// Text of a row of a table, in octets: a row is laid out as a whole.
  public static let rowBytes = 1 << 20
  /// Pages of a document.
  public static let pages = 20_000
  /// Octets of a PDF.
  static let pdfBytes = 512 << 20

  /// The document as PDF. The same document gives the same octets on the same machine (its fonts and versions of cairo and Pango).
  /// - Throws: `noFonts`, `tooLarge`, or `cairo` with its own words.
  public static func pdf(_ document: PageDocument) throws(PagePrintingError) -> [UInt8] {
    let size = document.blocks.reduce(0) { $0 + $1.textBytes }
    guard size <= textBytes else { throw .tooLarge("\(size) octets of text, \(textBytes) at the most") }
    for case .table(let table) in document.blocks {
      let widest = table.rows.map { $0.reduce(0) { $0 + $1.utf8.count } }.max() ?? 0
      guard widest <= rowBytes else { throw .tooLarge("\(widest) octets in a row of a table, \(rowBytes) at the most") }
    }
    // Counted first: a page says how many there are.
    let count = try pressed(document, pagesInAll: nil).pages
    return try pressed(document, pagesInAll: count).octets
  }

  private static func pressed(_ document: PageDocument, pagesInAll: Int?) throws(PagePrintingError) -> (pages: Int, octets: [UInt8]) {
    let sheet = try PagePress(document, pagesInAll: pagesInAll)
    for block in document.blocks {
      sheet.add(block)
      if sheet.pageNumber > pages { throw .tooLarge("more than \(pages) pages") }
    }
    let octets = try sheet.finish()
    return (sheet.pageNumber, octets)
  }
}

extension PageBlock {
  /// Octets of its words.
  var textBytes: Int {
    switch self {
    case .heading(let text, _), .paragraph(let text), .fixed(let text): text.utf8.count
    case .facts(let facts): facts.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count }
    case .table(let table): table.rows.reduce(table.columns.count * 32) { $0 + $1.reduce(0) { $0 + $1.utf8.count } }
    case .pageBreak: 0
    }
  }
}

/// What is printed of words: C knows no octet of zero, and controls have no shape.
enum Printable {
  /// Line feeds stay; carriage returns before them go; tabs become spaces; other controls are shown by their pictures (U+2400 ff.).
  static func text(_ text: String) -> String {
    guard text.utf8.contains(where: { $0 < 32 && $0 != 10 || $0 == 127 }) else { return text }
    var out = String.UnicodeScalarView()
    var previous: Unicode.Scalar?
    for scalar in text.unicodeScalars {
      // Written when the next one is known: only then is it part of a line's end, or not.
      if previous == "\r", scalar != "\n" { out.append("\u{240D}") }
      switch scalar.value {
      case 10: out.append(scalar)
      case 9: out.append(" ")
      case 13: break
      case 0..<32: out.append(Unicode.Scalar(0x2400 + scalar.value) ?? "\u{FFFD}")
      case 127: out.append("\u{2421}")
      default: out.append(scalar)
      }
      previous = scalar
    }
    if previous == "\r" { out.append("\u{240D}") }
    return String(out)
  }

  /// Texts that Pango can lay out one by one in memory and time that do not run away: cut at line feeds, and inside of very long lines
  /// at a space where there is one near. Breaking inside of a word takes a time that grows with its square, so those are cut sooner.
  static func pieces(_ text: String) -> [String] {
    var pieces: [String] = []
    for line in Printable.text(text).split(separator: "\n", omittingEmptySubsequences: false) {
      let limit = line.utf8.split(separator: 32).contains { $0.count > 600 } ? 400 : 4000
      var rest = line
      while rest.utf8.count > limit, let end = cut(rest, limit) {
        pieces.append(String(rest[..<end]))
        rest = rest[end...]
      }
      pieces.append(String(rest))
    }
    return pieces
  }

  private static func cut(_ text: Substring, _ limit: Int) -> Substring.Index? {
    guard let end = text.unicodeScalars.index(text.startIndex, offsetBy: limit, limitedBy: text.endIndex), end < text.endIndex else {
      return nil
    }
    let near = text.unicodeScalars.index(end, offsetBy: -200)
    if let space = text[near..<end].unicodeScalars.lastIndex(of: " ") { return text.unicodeScalars.index(after: space) }
    return end
  }
}
