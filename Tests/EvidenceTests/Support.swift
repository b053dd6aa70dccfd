import Evidence
import Journey
import PEC

/// Rows, and what is made of them.
enum Samples {
  static let awkward = "\"Fattura\" \\ n.º 7\tàèìòù €\u{1}\u{1F}\u{7F}\r\n\u{85}👩‍👩‍👧 e\u{301} * J /"

  /// A row with or without everything that may be absent.
  static func event(_ number: Int64, _ kind: EventKind = .acceptance, full: Bool = true) -> EventRecord {
    EventRecord(
      number: number, pecID: "opec210.2026112110442\(number % 10).1.1.51@pec.example.org",
      instant: Instant(unixSeconds: 1_795_254_266 &+ number, utcOffsetSeconds: full ? 3600 : 0), kind: kind,
      sender: "mario@pec.example.org",
      recipients: full
        ? [
          Recipient(address: "anna@pec.example.net", recipientClass: .certified),
          Recipient(address: "o\"hara@example.com", recipientClass: .ordinary),
        ] : [],
      subject: full ? "Oggetto \(number) * J" : nil, clientMessageID: full ? "<\(number)@client.example.org>" : nil,
      relatedIDs: full ? ["a\(number)@pec.example.org", "b\(number)@pec.example.org"] : [], provider: "Gestore Esempio",
      recipient: full ? "anna@pec.example.net" : nil, error: full ? "nessuno" : nil, detail: full ? "250 2.0.0 Ok" : nil,
      bytes: 5120 &+ Int(number))
  }

  /// A small row: many of its octets are flipped.
  static func small(_ number: Int64) -> EventRecord {
    EventRecord(
      number: number, pecID: "J*\(number)", instant: Instant(unixSeconds: 1_795_254_266 + number, utcOffsetSeconds: 3600), kind: .delivery,
      sender: "a@b", recipients: [Recipient(address: "c@d", recipientClass: .certified)],
      subject: number % 2 == 0 ? nil : "è \"\(number)\"",
      clientMessageID: nil, relatedIDs: ["x"], provider: "P", bytes: 1)
  }
}

/// A seal's files, line by line, so that a test can disturb them.
struct Export {
  var manifest: SealManifest
  /// Lines without their ends.
  var rows: [[UInt8]]
  var chain: [[UInt8]]

  init(_ events: [EventRecord], chainBefore: [UInt8] = EventChain.beginning, after previous: SealManifest? = nil) throws {
    var writer = SealedRowsWriter(chainBefore: chainBefore)
    var (rowFile, chainFile): ([UInt8], [UInt8]) = ([], [])
    for event in events { try writer.add(event, rows: &rowFile, chainLines: &chainFile) }
    rows = rowFile.split(separator: 10).map { Array($0) }
    chain = chainFile.split(separator: 10).map { Array($0) }
    manifest = try present(
      writer.manifest(
        provider: "Gestore", after: previous, madeAt: Instant(unixSeconds: 1_795_300_000, utcOffsetSeconds: 3600), reason: "daily"))
  }

  /// Rows `first` to `first + count - 1`, small ones, after a chain value that is not the beginning when `first` is not 1.
  init(first: Int64 = 401, count: Int64 = 5) throws {
    try self.init(
      (first..<first + count).map { Samples.small($0) },
      chainBefore: first == 1 ? EventChain.beginning : EventChain.leaf(Array("before".utf8)))
  }

  var rowFile: [UInt8] { rows.flatMap { $0 + [10] } }
  var chainFile: [UInt8] { chain.flatMap { $0 + [10] } }

  func faults() -> [EvidenceFault] { Export.faults(manifest, rowFile, chainFile) }

  static func faults(_ manifest: SealManifest, _ rows: [UInt8], _ chain: [UInt8]) -> [EvidenceFault] {
    var check = SealedRowsCheck(manifest)
    check.feed(rows: rows)
    check.feed(chain: chain)
    return check.finish()
  }
}

struct Absent: Error {}

func present<Value>(_ value: Value?) throws -> Value {
  guard let value else { throw Absent() }
  return value
}

extension [EvidenceFault] {
  /// `kind row` of each that names a row, and the kinds of the rest.
  var short: [String] { map { fault in fault.row.map { "\(fault.kind.rawValue) \($0)" } ?? fault.kind.rawValue } }
  /// The rows that are named.
  var named: Set<Int64> { Set(compactMap(\.row)) }
}
