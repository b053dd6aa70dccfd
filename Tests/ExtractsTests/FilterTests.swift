import Extracts
import Journey
import PEC
import Testing

@Suite struct FilterTests {
  private struct Dice {
    var state: UInt64
    mutating func next(_ bound: Int) -> Int {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return Int(state % UInt64(bound))
    }
  }

  private func row(
    _ kind: EventKind, sender: String = "anna@a.example", to recipients: [String] = ["bruno@b.example"], about recipient: String? = nil,
    provider: String = "Uno", pecID: String = "1@a.example"
  ) -> EventRecord {
    EventRecord(
      number: 1, pecID: pecID, instant: Instant(unixSeconds: 0, utcOffsetSeconds: 0), kind: kind, sender: sender,
      recipients: recipients.map { Recipient(address: $0, recipientClass: .certified) }, subject: nil, clientMessageID: nil, relatedIDs: [],
      provider: provider, recipient: recipient, bytes: 1)
  }

  private func kept(_ row: EventRecord, for holder: String) -> (rows: Int, withheld: Int) {
    let selection = ExtractFilter.select([row], for: holder)
    return (selection.rows.count, selection.withheld)
  }

  @Test func theSenderHasAllRowsOfHisMessage() {
    for kind in [EventKind.acceptance, .nonAcceptance, .envelopeSent, .nonDelivery, .timeoutFirst, .takeChargeReceived, .scanFault] {
      #expect(
        kept(row(kind, to: ["bruno@b.example", "carla@c.example"], about: "carla@c.example"), for: "Anna@A.example") == (1, 0), "\(kind)")
    }
  }

  @Test func aRecipientHasTheRowsAboutHimself() {
    let both = ["bruno@b.example", "carla@c.example"]
    #expect(kept(row(.envelopeReceived, to: both), for: "BRUNO@b.example") == (1, 0))
    #expect(kept(row(.delivery, to: both, about: "Bruno@b.example"), for: "bruno@b.example") == (1, 0))
    #expect(kept(row(.delivery, to: both, about: "carla@c.example"), for: "bruno@b.example") == (0, 0))
    #expect(kept(row(.noticeDelivered, about: "anna@a.example"), for: "bruno@b.example") == (0, 0))
    #expect(kept(row(.acceptance), for: "dario@d.example") == (0, 0))
    #expect(kept(row(.acceptance), for: "") == (0, 0))
    // Somebody tried to write to him and could not: that is the sender's business alone.
    #expect(kept(row(.nonAcceptance), for: "bruno@b.example") == (0, 0))
    #expect(kept(row(.nonAcceptanceVirus), for: "bruno@b.example") == (0, 0))
  }

  @Test func blindCopiesAreNotGivenAway() {
    let both = ["bruno@b.example", "carla@c.example"]
    for kind in [EventKind.anomaly, .ordinaryRefused, .ordinaryDiscarded, .ordinaryInfected, .infectedCertified] {
      #expect(kept(row(kind, to: both, provider: ""), for: "bruno@b.example") == (0, 1), "\(kind)")
      #expect(kept(row(kind, provider: ""), for: "bruno@b.example") == (1, 0), "\(kind)")
      // Who is named as the sender of ordinary mail need not have sent it.
      #expect(kept(row(kind, provider: ""), for: "anna@a.example") == (0, 0), "\(kind)")
      #expect(kept(row(kind), for: "anna@a.example") == (0, 0), "\(kind)")
    }
    // Nor do the other rows of such a message belong to him.
    let message = [row(.anomaly, provider: ""), row(.noticeDelivered, about: "bruno@b.example"), row(.acceptance, pecID: "2@a.example")]
    #expect(ExtractFilter.select(message, for: "anna@a.example").rows == [message[2]])
    #expect(ExtractFilter.select(message, for: "bruno@b.example").rows == message)
  }

  /// Where a holder wants to be told of arrivals is no affair of those who write to him.
  @Test func wordsAboutArrivalsAreTheRecipientsOwn() {
    for kind in [EventKind.arrivalNoticeSent, .arrivalNoticeDropped] {
      #expect(kept(row(kind, about: "bruno@b.example"), for: "bruno@b.example") == (1, 0), "\(kind)")
      #expect(kept(row(kind, about: "bruno@b.example"), for: "anna@a.example") == (0, 0), "\(kind)")
      #expect(kept(row(kind, about: "bruno@b.example"), for: "carla@c.example") == (0, 0), "\(kind)")
    }
    // The rest of the message stays hers.
    let message = [row(.acceptance), row(.arrivalNoticeSent, about: "bruno@b.example")]
    #expect(ExtractFilter.select(message, for: "anna@a.example").rows == [message[0]])
  }

  @Test func theLogItselfBelongsToNobody() {
    for kind in EventKind.allCases where kind.isAboutTheLog {
      #expect(kept(row(kind, about: "bruno@b.example"), for: "bruno@b.example") == (0, 0), "\(kind)")
      #expect(kept(row(kind), for: "anna@a.example") == (0, 0), "\(kind)")
    }
    #expect(kept(row(.acceptance, pecID: ""), for: "anna@a.example") == (0, 0))
  }

  /// Whatever rows there are, none gets through in which the holder is not named, or that is about somebody else.
  @Test(arguments: [UInt64](1...20))
  func noRowOfOthersGetsThrough(_ seed: UInt64) {
    var dice = Dice(state: seed &* 0x9E37_79B9_7F4A_7C15)
    let people = ["anna@a.example", "Bruno@b.example", "carla@c.example", "dario@d.example", ""]
    for _ in 0..<300 {
      let rows = (0..<1 + dice.next(12)).map { number -> EventRecord in
        var row = row(
          EventKind.allCases[dice.next(EventKind.allCases.count)], sender: people[dice.next(5)],
          to: (0..<dice.next(4)).map { _ in people[dice.next(4)] }, about: dice.next(2) == 0 ? people[dice.next(4)] : nil,
          provider: dice.next(3) == 0 ? "" : "Uno", pecID: ["", "1@a.example", "2@a.example"][dice.next(3)])
        row.number = Int64(number)
        return row
      }
      let holder = people[dice.next(5)]
      let selection = ExtractFilter.select(rows, for: holder)
      #expect(selection.rows.count + selection.withheld <= rows.count)
      for row in selection.rows {
        let isSender = row.sender.lowercased() == holder.lowercased()
        let isRecipient = row.recipients.contains { $0.address.lowercased() == holder.lowercased() }
        let isAboutHim = row.recipient?.lowercased() == holder.lowercased()
        #expect(!holder.isEmpty && !row.pecID.isEmpty && !row.kind.isAboutTheLog)
        #expect(isSender || (row.recipient == nil ? isRecipient : isAboutHim), "\(row)")
        if row.provider.isEmpty || row.kind == .anomaly {
          // Nobody vouches for it: no other address stands in it but the sender's.
          #expect(row.recipients.allSatisfy { $0.address.lowercased() == holder.lowercased() }, "\(row)")
        }
        #expect(rows.contains(row))
        #expect(ExtractFilter.belongs(row, to: holder))
      }
    }
  }
}
