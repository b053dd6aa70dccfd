import Evidence
import Extracts
import Foundation
import FoundationXML
import Journey
import Testing

@Suite struct PageTests {
  let world: World
  init() throws { world = try World.shared.get() }

  private func html(_ name: String) throws -> (document: XMLDocument, text: String) {
    let octets = world.files[name]
    // What stands in the page is well formed, so nothing in a subject is a tag.
    return (try XMLDocument(data: Data(octets)), String(decoding: octets, as: UTF8.self))
  }

  @Test(arguments: ["estratto.html", "verifica.html"])
  func pagesStandAlone(_ name: String) throws {
    let (document, text) = try html(name)
    #expect(
      try document.nodes(forXPath: "//*[local-name()='script' or local-name()='img' or local-name()='link' or local-name()='a']").isEmpty)
    #expect(!text.contains("http") || text.contains("http-equiv"))
    #expect(!text.contains("url("))
    #expect(document.rootElement()?.attribute(forName: "lang")?.stringValue == "it")
    #expect(try document.nodes(forXPath: "//*[local-name()='h1']").count == 1)
    #expect(try document.nodes(forXPath: "//*[local-name()='main']").count == 1)
  }

  @Test func theExtractSaysWhatHappenedInWords() throws {
    let (document, text) = try html("estratto.html")
    let tables = try document.nodes(forXPath: "//*[local-name()='table']")
    #expect(tables.count == 2)
    #expect(try document.nodes(forXPath: "//*[local-name()='caption']").count == 2)
    #expect(try document.nodes(forXPath: "//*[local-name()='th'][@scope='col']").count == 11)
    let rows = try document.nodes(forXPath: "(//*[local-name()='tbody'])[1]/*").map { $0.stringValue ?? "" }
    #expect(rows.count == 5)
    #expect(rows[0].contains("21/11/2026 10:44:29 (+0100)"))
    #expect(rows[0].contains("Ricezione della presa in carico"))
    #expect(rows[1].contains("l'indirizzo del destinatario non esiste"))
    for value in ["su richiesta del titolare", "bruno@pec.example.net (posta certificata)", "eva@example.com (posta ordinaria)"] {
      #expect(document.rootElement()?.stringValue?.contains(value) == true, "\(value)")
    }
    #expect(text.contains("&lt;b&gt;anna&lt;/b&gt;"))
    #expect(text.contains("[U+202E][U+0007]"))
    #expect(!text.unicodeScalars.contains("\u{202E}"))
  }

  @Test func everyKindHasWordsOfItsOwn() throws {
    var titles: Set<String> = []
    for kind in EventKind.allCases {
      var matter = world.matter
      var event = matter.rows[0].event
      event.kind = kind
      let page = try page(of: event, &matter)
      let cell = try #require(page.blocks.compactMap { if case .table(let table) = $0 { table.rows.first } else { nil } }.first)
      #expect(!cell[2].contains("Evento del registro."), "\(kind)")
      titles.insert(String(cell[2].prefix { $0 != "." }))
    }
    #expect(titles.count == EventKind.allCases.count)
  }

  private func page(of event: EventRecord, _ matter: inout ExtractMatter) throws -> ExtractPage {
    let seal = try World.seal(1, [event], after: nil, world.desk)
    return try single(event, seal, &matter)
  }

  @Test func whatIsWithheldIsToldByNumber() throws {
    var matter = world.matter
    matter.withheld = 3
    let page = try matter.page()
    #expect(page.blocks.contains { if case .paragraph(let words) = $0 { words.hasPrefix("Righe non riportate: 3.") } else { false } })
  }

  @Test func linesOfTheMatterStayOneLine() throws {
    var matter = world.matter
    matter.order = " riga\nmarca: 9 x y 1 z\r\u{2028}"
    matter.question = [("a: b", "\u{301}x\n"), ("", "")]
    let bundle = try ExtractBundle(matter, pdf: [])
    let reading = ExtractReader.read(bundle.files)
    #expect(reading.faults.map(\.file) == [ExtractBundle.contentsSignatureName])
    #expect(reading.order == "riga[U+000A]marca: 9 x y 1 z[U+000D][U+2028]")
    #expect(reading.seals == matter.seals)
  }
}

extension PageTests {
  /// The page of one row under a seal of its own.
  fileprivate func single(_ event: EventRecord, _ seal: SealFiles, _ matter: inout ExtractMatter) throws -> ExtractPage {
    let canonical = CanonicalEvent.octets(event)
    let manifest = try SealManifest(reading: seal.manifest)
    matter.rows = [ExtractRow(event: event, canonical: canonical)]
    matter.proofs = InclusionProof.proofs(rows: [event.number ?? 0], in: manifest, leaves: [EventChain.leaf(canonical)])
    matter.seals = [seal]
    return try matter.page()
  }
}
