import Foundation
import PagePrinting
import Testing

/// A folder that goes with the test, and poppler's tools to look into what was printed.
final class Desk: Sendable {
  let path: String

  init() {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("print-test-\(UUID().uuidString)").path
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func run(_ arguments: String...) throws -> (code: Int32, words: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.currentDirectoryURL = URL(fileURLWithPath: path)
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let words = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, words)
  }

  /// Prints, and reads the text back as a person's program would.
  func text(_ document: PageDocument, layout: Bool = true) throws -> String {
    try save(document)
    return try layout ? run("pdftotext", "-layout", "it.pdf", "-").words : run("pdftotext", "it.pdf", "-").words
  }

  func save(_ document: PageDocument) throws { try save(PagePrinter.pdf(document)) }
  func save(_ octets: [UInt8]) throws { try Data(octets).write(to: URL(fileURLWithPath: "\(path)/it.pdf")) }

  func facts() throws -> [String: String] {
    var facts: [String: String] = [:]
    for line in try run("pdfinfo", "-isodates", "it.pdf").words.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 1)
      if parts.count == 2 { facts[String(parts[0])] = parts[1].trimmingCharacters(in: .whitespaces) }
    }
    return facts
  }
}

@Suite struct PagePrintingTests {
  let desk = Desk()

  private func document(_ blocks: [PageBlock]) -> PageDocument {
    PageDocument(
      title: "Estratto del registro", author: "Gestore di prova S.p.A.", subject: "Certified log", createdAt: "2026-11-21T10:44:26+01:00",
      header: "Gestore di prova S.p.A.", footer: "Estratto del 21/11/2026", blocks: blocks)
  }

  private func table(_ rows: Int) -> PageBlock {
    .table(
      PageTable(
        columns: [.init("Riga", share: 1), .init("Data e ora", share: 2), .init("Evento", share: 5)],
        rows: (0..<rows).map { ["\($0 + 1)", "21/11/2026 10:44:26", "Ricevuta di accettazione numero \($0 + 1)."] }))
  }

  @Test func wordsCanBeReadBackInTheirOrder() throws {
    let words = try desk.text(
      document([
        .heading("Estratto del registro", level: 1), .paragraph("È vero: città, perché, Größe, Ελλάδα, Россия."),
        .facts([PageFact("Mittente", "anna@pec.example.org"), PageFact("Oggetto", "Comunicazione n. 12/2026")]),
        .heading("Eventi", level: 2), table(3), .fixed("openssl cms -verify -inform DER -in contenuto.p7m"),
      ]), layout: false)
    var rest = words[...]
    for expected in [
      "Gestore di prova S.p.A.", "pagina 1 di 1", "Estratto del registro", "È vero: città, perché, Größe, Ελλάδα, Россия.", "Mittente",
      "anna@pec.example.org", "Eventi", "Ricevuta di accettazione numero 3.", "openssl cms -verify -inform DER -in contenuto.p7m",
    ] {
      guard words.contains(expected) else {
        Issue.record("'\(expected)' is not in: \(words)")
        continue
      }
      if expected.hasPrefix("Estratto") || expected == "Mittente" || expected == "Eventi" || expected.hasPrefix("openssl"),
        let place = rest.range(of: expected)
      {
        rest = rest[place.upperBound...]
      }
    }
    let facts = try desk.facts()
    #expect(facts["Title"] == "Estratto del registro")
    #expect(facts["Author"] == "Gestore di prova S.p.A.")
    #expect(
      facts["CreationDate"]?.hasPrefix("2026-11-21T09:44:26") == true || facts["CreationDate"]?.hasPrefix("2026-11-21T10:44:26") == true)
    #expect(facts["Page size"]?.contains("A4") == true)
    #expect(facts["Tagged"] == "yes")
    let fonts = try desk.run("pdffonts", "it.pdf").words.split(separator: "\n").dropFirst(2)
    #expect(fonts.count >= 2)
    #expect(fonts.allSatisfy { $0.contains(" yes yes yes ") }, "embedded, subset, with Unicode: \(fonts)")
  }

  @Test func theSameDocumentGivesTheSameOctets() throws {
    let document = document([.heading("Uno", level: 1), .paragraph("Due"), table(80)])
    let first = try PagePrinter.pdf(document)
    #expect(try PagePrinter.pdf(document) == first)
    var other = document
    other.createdAt = "2026-11-22T10:44:26+01:00"
    #expect(try PagePrinter.pdf(other) != first)
    // A moment that cannot be read never becomes the clock's.
    other.createdAt = "yesterday"
    let odd = try PagePrinter.pdf(other)
    #expect(try PagePrinter.pdf(other) == odd)
    try desk.save(odd)
    #expect(try desk.facts()["CreationDate"]?.hasPrefix("1970-01-01T0") == true)
  }

  @Test func aLongTableRepeatsItsHeadingOnEveryPage() throws {
    let words = try desk.text(document([.heading("Eventi", level: 1), table(400)]))
    let pages = try #require(Int(try desk.facts()["Pages"] ?? ""))
    #expect(pages > 4)
    let sheets = words.split(separator: "\u{0C}").map(String.init).filter { !$0.allSatisfy(\.isWhitespace) }
    #expect(sheets.count == pages)
    for (index, sheet) in sheets.enumerated() {
      #expect(sheet.contains("Data e ora"), "page \(index + 1)")
      #expect(sheet.contains("pagina \(index + 1) di \(pages)"))
    }
    let numbers = words.split(whereSeparator: \.isNewline).compactMap { line in
      line.range(of: "accettazione numero ").flatMap { Int(line[$0.upperBound...].prefix { $0.isNumber }) }
    }
    #expect(numbers == Array(1...400))
  }

  /// A row that is higher than a page goes on on the next, and no word of it is lost.
  @Test func aRowHigherThanAPageGoesOn() throws {
    let many = (1...3000).map { "parola\($0)" }.joined(separator: " ")
    let words = try desk.text(
      document([
        .table(
          PageTable(
            columns: [.init("Riga", share: 1), .init("Evento", share: 3)],
            rows: [["17", many], ["18", "dopo"], ["19"], ["20", "x", "zuviel"]])),
        .facts([PageFact("Destinatari", many)]), .paragraph(many), .fixed(many),
      ]), layout: false)
    let found = words.split(whereSeparator: \.isWhitespace).filter { $0.hasPrefix("parola") }
    #expect(found.count == 12_000)
    #expect(Set(found).count == 3000)
    #expect(words.contains("dopo"))
    #expect(!words.contains("zuviel"))
  }

  @Test func longWordsAreBrokenWithoutHyphens() throws {
    let digest = String(repeating: "0123456789abcdef", count: 40)
    let words = try desk.text(document([.paragraph(digest), .fixed(digest), .facts([PageFact("Radice", digest)])]), layout: false)
    #expect(!words.contains("-"))
    let hexadecimal = words.filter { "0123456789abcdef".contains($0) && $0.isASCII }.count
    #expect(hexadecimal >= 3 * digest.count)
  }

  @Test(arguments: [
    "\u{0}\u{1}\u{7F}\t\r\n\r", "\u{FFF9}\u{10FFFD}\u{E000}\u{FEFF}", "\u{202E}abc\u{2066}\u{200F}", "שלום עולם مرحبا", "日本語 한국어 🦊👩‍👩‍👧",
    "e\u{301}\u{301}\u{301}\u{301}", String(repeating: "\u{301}", count: 5000), "\u{2028}\u{2029}\u{85}\u{B}\u{C}", "", "\n\n\n",
    String(decoding: [0xC3, 0x28, 0xFF, 0xED, 0xA0, 0x80] as [UInt8], as: UTF8.self), String(repeating: "\u{AD}", count: 9000),
    String(repeating: "\u{200D}", count: 9000), String(repeating: "ﷺ", count: 5000),
  ])
  func oddTextIsPrinted(_ text: String) throws {
    let odd = PageDocument(
      title: text, author: text, subject: text, createdAt: text, header: text, footer: text, pageWords: "\(text){page}{x}{pages",
      blocks: [
        .heading(text, level: -4), .heading(text, level: 9), .paragraph(text), .fixed(text), .facts([PageFact(text, text)]), .pageBreak,
        .pageBreak, .table(PageTable(columns: [.init(text, share: .nan), .init(text, share: -1)], rows: [[text, text], [], [text]])),
        .table(PageTable(columns: [], rows: [[text]])), .paragraph("il fondo"),
      ])
    #expect(try desk.text(odd).contains("il fondo"))
    #expect(Int(try desk.facts()["Pages"] ?? "") ?? 0 >= 1)
  }

  @Test func aHeadingHigherThanThePageDoesNotHoldItUp() throws {
    let high = String(repeating: "Intestazione ", count: 4000)
    let words = try desk.text(
      document([.table(PageTable(columns: [.init(high, share: 1), .init("b", share: 1)], rows: [["uno", "due"], [high, "tre"]]))]))
    #expect(words.contains("uno") && words.contains("tre"))
  }

  @Test func headingsMakeAnOutline() throws {
    try desk.save(
      document([
        .heading("Primo", level: 1), .paragraph("a"), .heading("Secondo", level: 2), .paragraph("b"), .heading("Terzo", level: 3),
        .heading("Quarto", level: 1),
      ]))
    let outline = try desk.run("pdftohtml", "-xml", "-stdout", "-i", "it.pdf").words
    for title in ["Primo", "Secondo", "Terzo", "Quarto"] {
      #expect(outline.range(of: "<item[^>]*>\(title)</item>", options: .regularExpression) != nil, "\(outline)")
    }
  }

  @Test func whatIsTooMuchIsRefused() throws {
    #expect(throws: PagePrintingError.self) {
      try PagePrinter.pdf(document([.paragraph(String(repeating: "a", count: PagePrinter.textBytes + 1))]))
    }
    let row = [String(repeating: "a", count: PagePrinter.rowBytes + 1)]
    #expect(throws: PagePrintingError.self) {
      try PagePrinter.pdf(document([.table(PageTable(columns: [.init("a", share: 1)], rows: [row]))]))
    }
  }

  @Test func threadsPrintBesideEachOther() async throws {
    let document = document([.heading("Uno", level: 1), table(60)])
    let one = try PagePrinter.pdf(document)
    let all = await withTaskGroup(of: [UInt8]?.self) { group in
      for _ in 0..<8 { group.addTask { try? PagePrinter.pdf(document) } }
      return await group.reduce(into: [[UInt8]?]()) { $0.append($1) }
    }
    #expect(all.count == 8)
    #expect(all.allSatisfy { $0 == one })
  }
}
