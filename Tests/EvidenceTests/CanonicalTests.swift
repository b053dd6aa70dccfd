import Evidence
import Foundation
import Journey
import PEC
import Testing

@Suite("Canonical rows")
struct CanonicalTests {
  private func text(_ event: EventRecord) -> String { String(decoding: CanonicalEvent.octets(event), as: UTF8.self) }

  @Test("The form is this one for ever")
  func golden() {
    let full = EventRecord(
      number: 17, pecID: "opec1@pec.example.org", instant: Instant(unixSeconds: 1_795_254_266, utcOffsetSeconds: 3600), kind: .acceptance,
      sender: "a@pec.example.org",
      recipients: [
        Recipient(address: "b@pec.example.net", recipientClass: .certified), Recipient(address: "c@example.com", recipientClass: .ordinary),
      ],
      subject: "È \"così\"\\ \u{1}\t\u{7F}€\u{0}.", clientMessageID: "<1@x>", relatedIDs: ["r1", "r2"], provider: "Gestore",
      recipient: "b@pec.example.net", error: "nessuno", detail: "250 Ok", bytes: 5120)
    #expect(
      text(full) == #"{"v":1,"number":17,"utc":1795254266,"offset":3600,"time":"2026-11-21T10:44:26+01:00","event":"accettazione","#
        + #""id":"opec1@pec.example.org","sender":"a@pec.example.org","recipients":[{"address":"b@pec.example.net","class":"certificato"},"#
        + #"{"address":"c@example.com","class":"esterno"}],"subject":"È \"così\"\\ \u0001\u0009\u007f€␀.","msgid":"<1@x>","#
        + #""related":["r1","r2"],"provider":"Gestore","recipient":"b@pec.example.net","error":"nessuno","detail":"250 Ok","bytes":5120}"#)
    let bare = EventRecord(
      number: 1, pecID: "", instant: Instant(unixSeconds: -1, utcOffsetSeconds: -12_600), kind: .logOpened, sender: "", recipients: [],
      subject: nil, clientMessageID: nil, relatedIDs: [], provider: "G", bytes: 0)
    #expect(
      text(bare) == #"{"v":1,"number":1,"utc":-1,"offset":-12600,"time":"1969-12-31T20:29:59-03:30","event":"apertura-registro","id":"","#
        + #""sender":"","recipients":[],"subject":null,"msgid":null,"related":[],"provider":"G","recipient":null,"error":null,"#
        + #""detail":null,"bytes":0}"#)
  }

  @Test("Every kind of event is read back as it was written", arguments: EventKind.allCases)
  func kinds(kind: EventKind) throws {
    for full in [true, false] {
      let event = Samples.event(7, kind, full: full)
      #expect(try CanonicalEvent.read(CanonicalEvent.octets(event)) == event)
    }
  }

  @Test("A JSON reader of somebody else sees the same")
  func otherReader() throws {
    var event = Samples.event(3)
    event.subject = Samples.awkward
    event.detail = String(String.UnicodeScalarView((1..<0x180).compactMap { Unicode.Scalar($0) }))
    event.recipients.append(Recipient(address: Samples.awkward, recipientClass: .certified))
    let parsed = try #require(try JSONSerialization.jsonObject(with: Data(CanonicalEvent.octets(event))) as? [String: Any])
    #expect((parsed["subject"] as? String)?.utf8.elementsEqual(Samples.awkward.utf8) == true)
    #expect((parsed["detail"] as? String)?.utf8.elementsEqual(event.detail!.utf8) == true)
    let recipients = try #require(parsed["recipients"] as? [[String: String]])
    #expect(recipients.map { $0["address"] } == event.recipients.map(\.address))
    #expect(recipients.map { $0["class"] } == ["certificato", "esterno", "certificato"])
    #expect(parsed["time"] as? String == "2026-11-21T10:44:29+01:00")
    #expect(parsed.count == 17)
    #expect(try CanonicalEvent.read(CanonicalEvent.octets(event)) == event)
  }

  @Test("NUL is written as its symbol, in every field alike")
  func nul() throws {
    var event = Samples.event(3)
    (event.pecID, event.sender, event.subject, event.detail) = ("\0", "a\0b", "\0\0", "x\0")
    event.recipients = [Recipient(address: "\0@x", recipientClass: .certified)]
    event.relatedIDs = ["\0"]
    let octets = CanonicalEvent.octets(event)
    #expect(!octets.contains(0))
    let read = try CanonicalEvent.read(octets)
    #expect(read.subject == "\u{2400}\u{2400}")
    #expect(read.recipients[0].address == "\u{2400}@x")
    #expect(CanonicalEvent.octets(read) == octets)
  }

  @Test("Recipients handed in ready make the same row")
  func ready() throws {
    let event = Samples.event(3)
    let json = CanonicalEvent.recipientsJSON(event.recipients)
    #expect(CanonicalEvent.octets(event, recipientsJSON: json) == CanonicalEvent.octets(event))
    #expect(try CanonicalEvent.recipients(reading: json) == event.recipients)
    #expect(try CanonicalEvent.recipients(reading: Array("[]".utf8)).isEmpty)
    for wrong in ["", "[", "[ ]", "[]x", #"[{"address":"a","class":"x"}]"#, #"[{"class":"esterno","address":"a"}]"#, "[,]", "null"] {
      #expect(throws: EvidenceError.self) { try CanonicalEvent.recipients(reading: Array(wrong.utf8)) }
    }
  }

  @Test("Whatever is flipped or cut off: refused, or a row that is written exactly so")
  func strict() throws {
    var awkward = Samples.event(5)
    awkward.subject = Samples.awkward
    for event in [awkward, Samples.event(12, .stamped, full: false)] {
      let octets = CanonicalEvent.octets(event)
      for at in octets.indices {
        #expect(throws: EvidenceError.self) { try CanonicalEvent.read(Array(octets[..<at])) }
        for bit in 0..<8 {
          var flipped = octets
          flipped[at] ^= 1 << bit
          guard let read = try? CanonicalEvent.read(flipped) else { continue }
          #expect(CanonicalEvent.octets(read) == flipped)
        }
      }
    }
  }

  @Test(
    "There is one spelling only",
    arguments: [
      (#""v":1"#, #""v":2"#), (#""v":1"#, #""v": 1"#), (#""number":7"#, #""number":07"#), (#""number":7"#, #""number":+7"#),
      (#""number":7"#, #""number":7.0"#), (#""number":7"#, #""number":99999999999999999999"#), (#""number":7"#, #""number":"#),
      (#""offset":3600"#, #""offset":-0"#), ("10:44:33", "10:44:34"), ("10:44:33", #"10:44:33\u0020"#), ("Oggetto", #"\u004fggetto"#),
      ("Oggetto", #"\/ggetto"#), ("Oggetto", "O\\\tggetto"), ("Oggetto", "O\tggetto"), ("Oggetto", #"O\u001Fggetto"#),
      ("Oggetto", #"O\u0000ggetto"#), ("Oggetto", #"O\u0022ggetto"#), ("Oggetto", "O\u{7F}ggetto"), ("Oggetto", #"O\ud83dggetto"#),
      ("accettazione", "accettato"), ("certificato", "Certificato"), (#""error":"nessuno","#, ""), (#""error":"nessuno""#, #""error":nul"#),
      (#""bytes":5127}"#, #""bytes":5127} "#), (#""bytes":5127}"#, #""bytes":5127}}"#), (#""bytes":5127}"#, #""bytes":5127,"more":1}"#),
    ])
  func oneSpelling(found: String, replaced: String) {
    let line = text(Samples.event(7))
    let other = line.replacingOccurrences(of: found, with: replaced)
    #expect(other != line)
    #expect(throws: EvidenceError.self) { try CanonicalEvent.read(Array(other.utf8)) }
  }

  @Test("What is no UTF-8 is refused, and nothing traps on odd numbers")
  func odd() throws {
    let line = CanonicalEvent.octets(Samples.event(7))
    let at = try #require(line.firstIndex(of: UInt8(ascii: "O")))
    for octet: UInt8 in [0xC0, 0x80, 0xFF, 0xED] {
      var broken = line
      broken[at] = octet
      #expect(throws: EvidenceError.self) { try CanonicalEvent.read(broken) }
    }
    for (seconds, offset) in [(Int64.max, 0), (.min, 3600), (0, .max), (0, .min), (253_402_300_800, 0), (-62_135_596_801, 0), (0, 86_400)] {
      var event = Samples.event(7)
      event.instant = Instant(unixSeconds: seconds, utcOffsetSeconds: offset)
      #expect(text(event).contains(#""time":null"#))
      #expect(try CanonicalEvent.read(CanonicalEvent.octets(event)) == event)
    }
    var event = Samples.event(.max)
    event.bytes = .min
    #expect(try CanonicalEvent.read(CanonicalEvent.octets(event)) == event)
    #expect(CanonicalEvent.octets(Samples.event(.min)).starts(with: #"{"v":1,"number":-9223372036854775808,"#.utf8))
  }

  @Test("A fault says where")
  func place() {
    let line = text(Samples.event(7))
    #expect(throws: EvidenceError.notCanonical(offset: 16)) {
      try CanonicalEvent.read(Array(line.replacingOccurrences(of: #"r":7"#, with: #"r":07"#).utf8))
    }
    #expect(throws: EvidenceError.malformed(offset: 0, expected: #"{"v":1,"number":"#)) { try CanonicalEvent.read([]) }
  }
}

@Suite("Chain")
struct ChainTests {
  @Test("Leaf and next value are the digests that the documentation says")
  func chain() {
    let row = CanonicalEvent.octets(Samples.event(1))
    let leaf = EventChain.leaf(row)
    #expect(leaf == openssl([0] + row))
    #expect(EventChain.next(EventChain.beginning, leaf: leaf) == openssl([2] + [UInt8](repeating: 0, count: 32) + leaf))
  }

  /// SHA-256 by the openssl command.
  private func openssl(_ octets: [UInt8]) -> [UInt8]? {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["openssl", "dgst", "-sha256", "-binary"]
    let (input, output) = (Pipe(), Pipe())
    process.standardInput = input
    process.standardOutput = output
    guard (try? process.run()) != nil, (try? input.fileHandleForWriting.write(contentsOf: Data(octets))) != nil else { return nil }
    try? input.fileHandleForWriting.close()
    let digest = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return [UInt8](digest)
  }
}
