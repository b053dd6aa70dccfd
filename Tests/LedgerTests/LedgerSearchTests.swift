import Foundation
import Journey
import PEC
import Testing

@testable import Ledger

/// What a search ought to find, by looking at every row.
func naive(_ query: LogQuery, in rows: [EventRecord]) -> [EventRecord] {
  func folded(_ text: String) -> Set<String> {
    let plain = text.folding(options: [.caseInsensitive, .diacriticInsensitive], locale: Locale(identifier: "it"))
    return Set(plain.split { !$0.isLetter && !$0.isNumber }.filter { $0.count > 1 }.map(String.init))
  }
  func same(_ wanted: String?, _ value: String?) -> Bool { wanted.map { $0.lowercased() == value?.lowercased() } ?? true }
  func hears(_ event: EventRecord, _ wanted: String) -> Bool {
    if let one = event.recipient { return same(wanted, one) }
    return event.recipients.contains { same(wanted, $0.address) }
  }
  let wanted = query.words.reduce(into: Set()) { $0.formUnion(folded($1)) }
  let fitting = rows.filter { event in
    let day = LegalDay(event.instant)
    return same(query.sender, event.sender) && (query.recipient.map { hears(event, $0) } ?? true)
      && (query.party.map { same($0, event.sender) || hears(event, $0) } ?? true) && wanted.isSubset(of: folded(event.subject ?? ""))
      && (query.pecID ?? event.pecID) == event.pecID
      && (query.clientMessageID == nil || query.clientMessageID == event.clientMessageID)
      && (query.relatedID.map { event.relatedIDs.contains($0) } ?? true) && (query.kinds.isEmpty || query.kinds.contains(event.kind))
      && (query.provider ?? event.provider) == event.provider && (query.error == nil || query.error == event.error)
      && (query.from ?? day) <= day && (query.to ?? day) >= day
  }
  return query.newestFirst ? fitting.reversed() : fitting
}

/// All pages of a search, of the size that the query names.
func pages(_ query: LogQuery, in ledger: any LedgerReading) throws -> [EventRecord] {
  var query = query
  var found: [EventRecord] = []
  repeat {
    let page = try ledger.search(query)
    #expect(page.rows.count <= max(1, query.limit))
    found += page.rows
    query.cursor = page.next
  } while query.cursor != nil
  return found
}

/// Rows and queries out of small words, so that they meet.
struct LogDice {
  var dice: Dice
  static let addresses = ["anna@pec.alfa.test", "Bruno@pec.alfa.test", "carla@pec.beta.test", "dino@pec.beta.test", "", "f.o@x"]
  static let subjects = ["Fattura", "n.", "però", "PERO", "città", "Straße", "über-alles", "2026", "di", "l'ordine", "日本語", "—", "a", "😀"]
  static let kinds: [EventKind] = [.acceptance, .envelopeMade, .envelopeSent, .delivery, .nonDelivery, .notificationReceived, .sealed]
  private var message = 0

  init(_ seed: UInt64) { dice = Dice(seed) }

  mutating func address() -> String { LogDice.addresses.randomElement(using: &dice) ?? "" }
  mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &dice) }
  mutating func flip(_ times: Int = 2) -> Bool { number(1...times) == 1 }

  /// Some rows of one message.
  mutating func rows() -> [EventRecord] {
    message += 1
    let words = (0..<number(0...4)).map { _ in LogDice.subjects.randomElement(using: &dice) ?? "" }
    let all = (0..<number(0...3)).map { _ in Recipient(address: address(), recipientClass: .certified) }
    let (sender, id) = (address(), flip(3) ? nil : "<\(number(1...12))@client>")
    let instant = Instant(unixSeconds: noon.unixSeconds + Int64(number(-3...3)) * 86_400 + Int64(message), utcOffsetSeconds: 3600)
    return (0..<number(1...6)).map { _ in
      EventRecord(
        pecID: "pec\(message % 30)", instant: instant, kind: LogDice.kinds.randomElement(using: &dice) ?? .acceptance, sender: sender,
        recipients: all, subject: flip(8) ? nil : words.joined(separator: " "), clientMessageID: id,
        relatedIDs: (0..<number(0...2)).map { _ in "rel\(number(1...20))" }, provider: flip(3) ? "Beta" : "Alfa",
        recipient: flip() ? all.randomElement(using: &dice)?.address : nil, error: flip(4) ? "no-dest" : nil, bytes: 1)
    }
  }

  /// A query of one to three conditions, of any direction and size of page.
  mutating func query() -> LogQuery {
    var query = LogQuery(newestFirst: flip(), limit: number(1...40))
    for _ in 0..<number(0...3) {
      switch number(0...11) {
      case 0: query.sender = flip() ? address() : address().uppercased()
      case 1: query.recipient = address()
      case 2: query.party = flip() ? address() : address().uppercased()
      case 3, 4: query.words = (0..<number(1...3)).map { _ in LogDice.subjects.randomElement(using: &dice) ?? "" }
      case 5: query.pecID = "pec\(number(0...30))"
      case 6: query.clientMessageID = "<\(number(1...13))@client>"
      case 7: query.relatedID = "rel\(number(1...21))"
      case 8: query.kinds = Set((0..<number(1...3)).compactMap { _ in LogDice.kinds.randomElement(using: &dice) })
      case 9: query.provider = flip(5) ? "beta" : "Beta"
      case 10: query.error = flip(5) ? "altro" : "no-dest"
      default:
        if flip() { query.from = LegalDay(noon).advanced(by: Int64(number(-4...4))) }
        if flip() { query.to = LegalDay(noon).advanced(by: Int64(number(-4...4))) }
      }
    }
    return query
  }
}

@Suite struct LedgerSearchTests {
  @Test(arguments: 1...4 as ClosedRange<UInt64>)
  func searchesFindWhatALookAtEveryRowFinds(seed: UInt64) throws {
    var dice = LogDice(seed)
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    var rows: [EventRecord] = []
    while rows.count < 400 {
      let added = (0..<dice.number(1...5)).flatMap { _ in dice.rows() }
      try ledger.commit(added.map { .event($0) })
      rows += added.enumerated().map { $0.element.numbered(Int64(rows.count + $0.offset + 1)) }
    }
    let reader = try Ledger.openReadOnly(path: folder.ledger)
    for _ in 0..<150 {
      let query = dice.query()
      let found = try pages(query, in: reader)
      #expect(found.map(\.number) == naive(query, in: rows).map(\.number), "seed \(seed): \(query)")
      #expect(found == naive(query, in: rows), "seed \(seed): \(query)")
    }
  }

  @Test func anEmptyLog() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    for query in [LogQuery(), LogQuery(sender: "a"), LogQuery(pecID: "a"), LogQuery(from: LegalDay(noon)), LogQuery(newestFirst: true)] {
      #expect(try ledger.search(query) == LogPage(rows: [], next: nil))
    }
  }

  @Test func words() {
    #expect(LogTerms.words("Re: FATTURA n° 12/2026 — Città di Forlì") == ["re", "fattura", "12", "2026", "citta", "di", "forli"])
    #expect(LogTerms.words("l'ordine, L'ORDINE dell’anno") == ["ordine", "dell", "anno"])
    #expect(LogTerms.words("e\u{301}te\u{301} été ÉTÉ") == ["ete"])
    #expect(LogTerms.words("日本語 и ещё ½ x") == ["日本語", "еще"])
    #expect(LogTerms.words("") == [])
    #expect(LogTerms.words("\u{301}\u{301} a\u{301}") == [])
    let long = String(repeating: "abcdefgh", count: 5)
    #expect(LogTerms.words(long + "xyz " + long) == [String(long.prefix(32))])
    #expect(LogTerms.words(String(repeating: "é", count: 40)) == [String(repeating: "e", count: 32)])
    #expect(LogTerms.words((10...99).map(String.init).joined(separator: " ")) == (10..<50).map(String.init))
  }

  /// The short way that is taken for ASCII finds the terms of the words.
  @Test func termsOfWords() {
    var dice = Dice(9)
    let pieces = ["ab", "Ab", "AB", "c", "7", "12", " ", "  ", "-", ".", "\0", "~", "perché", String(repeating: "xyz", count: 12)]
    for _ in 0..<500 {
      let text = (0..<Int.random(in: 0...60, using: &dice)).map { _ in pieces.randomElement(using: &dice) ?? "" }.joined()
      #expect(LogTerms.wordTerms(text) == LogTerms.words(text).map { LogTerms.term(.word, $0) }, "\(text)")
    }
    let many = (0..<200).map { "w\($0)" }.joined(separator: " ")
    #expect(LogTerms.wordTerms(many) == LogTerms.words(many).map { LogTerms.term(.word, $0) })
    var row = event("pec1")
    row.recipients = recipients(100) + recipients(100)
    #expect(LogTerms.own(of: row).count == 102)
  }

  /// What is found by a term is looked at: senders whose terms are the same are told apart.
  @Test func valuesThatShareATermAreToldApart() throws {
    var seen: [UInt32: String] = [:]
    var pair: (String, String)?
    for index in 0..<1_000_000 where pair == nil {
      let address = "u\(index)@x"
      pair = seen.updateValue(address, forKey: LogTerms.term(.sender, address)).map { ($0, address) }
    }
    let (one, other) = try #require(pair)
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit([.event(event("pec1", sender: one)), .event(event("pec2", sender: other))])
    #expect(try ledger.search(LogQuery(sender: one)).rows.map(\.pecID) == ["pec1"])
    #expect(try ledger.search(LogQuery(sender: other)).rows.map(\.pecID) == ["pec2"])
  }

  @Test func limitsAndCursors() throws {
    let folder = Folder()
    let ledger = try Ledger(path: folder.ledger)
    try ledger.commit((1...30).map { .event(event("pec\($0)", sender: $0 % 3 == 0 ? "a@x" : "b@x")) })
    #expect(try ledger.search(LogQuery(sender: "a@x", limit: 0)).rows.map(\.number) == [3])
    #expect(try ledger.search(LogQuery(sender: "a@x", limit: -5)).rows.map(\.number) == [3])
    #expect(try ledger.search(LogQuery(sender: "a@x", limit: .max)).rows.count == 10)
    #expect(try ledger.search(LogQuery(sender: "a@x", limit: .max)).next == nil)
    #expect(try ledger.search(LogQuery(sender: "a@x", newestFirst: true, limit: 2)).next == LogCursor(number: 27))
    for odd in [Int64.min, -1, 0, 31, .max] {
      for newest in [true, false] {
        let found = try ledger.search(LogQuery(newestFirst: newest, cursor: LogCursor(number: odd))).rows.count
        #expect(found == (newest == (odd > 30) ? 30 : 0), "\(odd) \(newest)")
      }
    }
  }

  @Test func postingsAreOrderedAndFound() {
    var dice = Dice(3)
    for _ in 0..<50 {
      let terms = (0..<Int.random(in: 1...20, using: &dice)).map { _ in UInt32.random(in: 0...UInt32.max, using: &dice) }
      let postings = (0..<Int.random(in: 0...200, using: &dice)).map { index in
        LogPostings.posting(terms.randomElement(using: &dice) ?? 0, from: index * 100, count: Int.random(in: 1...256, using: &dice))
      }
      let sorted = LogPostings.sorted(postings)
      #expect(sorted == postings.sorted())
      let octets = LogPostings.encode(sorted)
      var read: [UInt64] = []
      LogPostings.decode(octets, into: &read)
      #expect(read == sorted)
      for term in terms + [0, .max] {
        #expect(LogPostings.lowerBound(of: term, in: octets) == sorted.firstIndex { UInt32($0 >> 24) >= term } ?? sorted.count)
      }
    }
    var odd: [UInt64] = []
    LogPostings.decode([1, 2, 3], into: &odd)
    #expect(odd.isEmpty)
  }

  @Test func rowsOfABlock() {
    var rows = BlockRows()
    #expect(rows.isEmpty)
    var expected: Set<Int> = []
    for range in [0...0, 62...66, 128...191, 1000...1255, 32_700...32_767] {
      rows.insert(range)
      expected.formUnion(range)
    }
    rows.insert(32_760...40_000)
    rows.insert(LogPostings.posting(.max, from: 65_535, count: 256))
    #expect(rows.offsets(descending: false) == expected.sorted())
    #expect(rows.offsets(descending: true) == expected.sorted(by: >))
  }
}
