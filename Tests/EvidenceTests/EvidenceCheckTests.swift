import Evidence
import Journey
import PEC
import Testing

/// A run of rows as the ledger stores them.
private struct Run {
  struct Row {
    var number: Int64
    var canonical: [UInt8]?
    var chain: [UInt8]?
  }
  var rows: [Row] = []
  let before: [UInt8]
  let after: [UInt8]

  init(_ events: [EventRecord]) {
    before = EventChain.leaf([1])
    var chain = before
    for event in events {
      let canonical = CanonicalEvent.octets(event)
      chain = EventChain.next(chain, leaf: EventChain.leaf(canonical))
      rows.append(Row(number: event.number ?? 0, canonical: canonical, chain: chain))
    }
    after = chain
  }

  init(first: Int64 = 11, count: Int64 = 8) { self.init((first..<first + count).map { Samples.small($0) }) }

  /// What a check finds, with or without the end known.
  func faults(ends: Bool = true, first: Int64 = 11) -> [EvidenceFault] {
    var check = EvidenceCheck(chainBefore: before, first: first)
    for row in rows { check.feed(number: row.number, canonical: row.canonical, storedChain: row.chain) }
    check.finish(chainAfter: ends ? after : nil, last: ends ? 18 : nil)
    return check.faults
  }
}

@Suite("Check of stored rows")
struct EvidenceCheckTests {
  @Test("What is whole has no faults")
  func whole() {
    #expect(Run().faults().isEmpty)
    #expect(Run().faults(ends: false).isEmpty)
    var check = EvidenceCheck(chainBefore: nil, first: 11)
    for row in Run().rows { check.feed(number: row.number, canonical: row.canonical, storedChain: row.chain) }
    let found = check.finish(chainAfter: Run().after, last: 18)
    #expect(found.isEmpty && check.rows == 8)
  }

  @Test("Every bit of every row: that row is named, and no other")
  func everyBit() {
    let whole = Run(first: 11, count: 8)
    for at in [0, 7] {
      for octet in whole.rows[at].canonical!.indices {
        for bit in 0..<8 {
          var run = whole
          run.rows[at].canonical![octet] ^= 1 << bit
          #expect(run.faults().short == ["changed \(11 + at)"])
        }
      }
    }
  }

  @Test("Every column of a row")
  func everyColumn() {
    let events = (Int64(11)...18).map { Samples.event($0) }
    let whole = Run(events)
    let changes: [(inout EventRecord) -> Void] = [
      { $0.pecID += "x" }, { $0.instant.unixSeconds += 1 }, { $0.instant.utcOffsetSeconds = 0 }, { $0.kind = .delivery },
      { $0.sender = "" }, { $0.recipients.swapAt(0, 1) }, { $0.recipients.removeLast() },
      { $0.recipients[0].recipientClass = .ordinary }, { $0.subject = nil }, { $0.subject = "" }, { $0.clientMessageID = nil },
      { $0.relatedIDs.reverse() }, { $0.provider = " " }, { $0.recipient = nil }, { $0.error = nil }, { $0.detail = nil },
      { $0.bytes -= 1 },
    ]
    for (at, event) in events.enumerated() {
      for change in changes {
        var run = whole
        var other = event
        change(&other)
        run.rows[at].canonical = CanonicalEvent.octets(other)
        #expect(run.faults().short == ["changed \(11 + at)"])
        // Without a known end the last row and its value accuse each other.
        #expect(run.faults(ends: false).short == [at == 7 ? "row or chain value changed 18" : "changed \(11 + at)"])
      }
    }
  }

  @Test("Every bit of a stored chain value", arguments: [Int](0..<8))
  func chainValues(at: Int) {
    for octet in 0..<32 {
      for bit in 0..<8 {
        var run = Run()
        run.rows[at].chain![octet] ^= 1 << bit
        #expect(run.faults().short == ["chain value changed \(11 + at)"])
      }
    }
    for wrong: [UInt8]? in [nil, [], [UInt8](repeating: 0, count: 31)] {
      var run = Run()
      run.rows[at].chain = wrong
      #expect(run.faults().short == ["chain value changed \(11 + at)"])
    }
  }

  @Test("A row removed, or several", arguments: [Int](0..<8))
  func removed(at: Int) {
    var run = Run()
    run.rows.remove(at: at)
    #expect(run.faults().short == ["missing \(11 + at)"])
    if at < 7 {
      run.rows.remove(at: at)
      #expect(run.faults().short == ["missing \(11 + at)"])
      #expect(run.faults()[0].detail == "rows \(11 + at) to \(12 + at) are not there")
    }
  }

  @Test("Two rows in each other's place, with their chain values or without")
  func swapped() {
    for one in 0..<8 {
      for other in one + 1..<8 {
        var run = Run()
        // The numbers stay in their order, as a table's key does.
        var (left, right) = (Samples.small(Int64(11 + other)), Samples.small(Int64(11 + one)))
        (left.number, right.number) = (Int64(11 + one), Int64(11 + other))
        run.rows[one].canonical = CanonicalEvent.octets(left)
        run.rows[other].canonical = CanonicalEvent.octets(right)
        // Of neighbours it cannot be told whether the chain value between them was changed as well.
        let kind = other == one + 1 ? "row or chain value changed" : "changed"
        #expect(run.faults().short == ["\(kind) \(11 + one)", "\(kind) \(11 + other)"])
        (run.rows[one].chain, run.rows[other].chain) = (run.rows[other].chain, run.rows[one].chain)
        #expect(run.faults().named.isSuperset(of: [Int64(11 + one), Int64(11 + other)]), "\(run.faults())")
      }
    }
  }

  @Test("Rows added: behind the end, twice, with a number out of order")
  func added() {
    var run = Run()
    let forged = CanonicalEvent.octets(Samples.small(19))
    run.rows.append(Run.Row(number: 19, canonical: forged, chain: EventChain.next(run.after, leaf: EventChain.leaf(forged))))
    #expect(run.faults().short == ["chain differs 19"])
    run = Run()
    run.rows.insert(run.rows[3], at: 5)
    #expect(run.faults().short == ["moved 14"])
    run = Run()
    run.rows[4].number = 99
    #expect(run.faults().named.contains(15))
  }

  @Test("Changed rows one beside the other, and one by one: all are named")
  func several() {
    for one in 0..<8 {
      for other in one + 1..<8 {
        var run = Run()
        for at in [one, other] {
          var event = Samples.small(Int64(11 + at))
          event.bytes = 2
          run.rows[at].canonical = CanonicalEvent.octets(event)
        }
        #expect(run.faults().named == [Int64(11 + one), Int64(11 + other)])
      }
    }
  }

  @Test("A row that cannot be read, and one with another's number")
  func unreadable() {
    for at in 0..<8 {
      var run = Run()
      run.rows[at].canonical = nil
      #expect(run.faults().short == ["changed \(11 + at)"])
      run.rows[at].canonical = Run().rows[(at + 1) % 8].canonical
      #expect(run.faults().short == ["changed \(11 + at)"])
      run.rows[at].chain = nil
      #expect(run.faults().named == [Int64(11 + at)])
    }
  }

  @Test("The first faults are kept and all are counted")
  func bounded() {
    let events = (Int64(1)...200).map { Samples.small($0) }
    var check = EvidenceCheck(chainBefore: EventChain.beginning)
    for event in events { check.feed(number: event.number ?? 0, canonical: nil, storedChain: nil) }
    let found = check.finish(chainAfter: nil, last: 300)
    #expect(found.count == EvidenceCheck.maximumFaults)
    #expect(check.faultCount == 401)
    check = EvidenceCheck(chainBefore: EventChain.beginning)
    check.feed(number: .max, canonical: nil, storedChain: nil)
    check.feed(number: .max, canonical: nil, storedChain: nil)
    check.feed(number: .min, canonical: nil, storedChain: nil)
    #expect(check.finish(chainAfter: [], last: .max).contains { $0.kind == .missing && $0.row == 1 })
  }
}
