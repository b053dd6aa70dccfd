import Configuration
import Foundation
import Journey
import Ledger
import Octets
import PEC
import Testing
import TimeStamping

@testable import Sealing

@Suite struct StampTests {
  let world = SealWorld.shared

  private func missingRows(_ outcome: SealingOutcome) -> [EventRecord] {
    outcome.changes.compactMap { if case .event(let row) = $0, row.kind == .stampMissing { row } else { nil } }
  }

  private func stamps(_ outcome: SealingOutcome) -> [Int64] {
    outcome.changes.compactMap { if case .stamp(let seal, _, _) = $0 { seal } else { nil } }
  }

  @Test func aDownAuthorityIsReplacedByTheSecond() throws {
    let desk = try Desk()
    // Nobody listens on port 1 of this machine.
    let down = TimeStampAuthoritySettings(url: "http://127.0.0.1:1/", caFile: world.path("tsaroot.pem"))
    desk.settings.timeStamps.authorities = [down, world.authority("tsa")]
    for _ in 0..<3 {
      try desk.fill(1)
      try desk.seal()
    }
    let outcome = try desk.stamp()
    #expect(stamps(outcome) == [1, 2, 3])
    // The first one was asked once.
    #expect(outcome.alarms.count == 1 && outcome.alarms[0].contains("http://127.0.0.1:1/"), "\(outcome.alarms)")
    let row = try #require(try desk.ledger.events(last: 3).first)
    #expect(row.kind == .stamped && row.relatedIDs == ["seal-1"] && row.detail?.contains("127.0.0.1:1") == true)
    #expect(try desk.verify().faults == [])
  }

  @Test(arguments: ["slow", "error", "garbage", "imprint", "nonce", "reject", "tsa-expired", "tsa-foreign", "tsa-usage"])
  func whatAnAuthorityDoesWrongIsNamedAndNothingLost(_ mode: String) throws {
    let desk = try Desk()
    desk.settings.timeStamps.authorities = [world.authority(mode)]
    desk.settings.timeStamps.timeoutSeconds = mode == "slow" ? 1 : 20
    try desk.fill(2)
    try desk.seal()
    let outcome = try desk.stamp()
    #expect(stamps(outcome) == [])
    let words = [
      "slow": "within 1 s", "error": "503", "garbage": "the answer", "imprint": "about other data", "nonce": "another request",
      "reject": "refuses", "tsa-expired": "is valid from", "tsa-foreign": "not trusted", "tsa-usage": "",
    ]
    #expect(
      outcome.alarms.contains { $0.contains("/\(mode): ") && (words[mode] == "" || $0.contains(words[mode] ?? "?")) }, "\(outcome.alarms)")
    let row = try #require(missingRows(outcome).first)
    #expect(row.relatedIDs == ["seal-1"] && row.detail?.contains(mode) == true)
    #expect(try desk.ledger.unstampedSeals().map(\.number) == [1])
    let inspection = try desk.verify()
    #expect(inspection.faults == [] && inspection.remarks == ["seal 1 has no time stamp"])
    #expect(try desk.files(1).contains { $0.hasPrefix("stamp") || $0.hasPrefix("evidence") } == false)

    // It is told once a day, and caught up with as soon as somebody answers.
    #expect(try desk.stamp().changes == [])
    try desk.fill(1)
    try desk.seal()
    #expect(missingRows(try desk.stamp()).map(\.relatedIDs) == [["seal-2"]])
    desk.settings.timeStamps.authorities.append(world.authority("tsa"))
    #expect(stamps(try desk.stamp()) == [1, 2])
    #expect(try desk.verify().faults == [])
    #expect(try desk.ledger.unstampedSeals().isEmpty)
  }

  @Test func anAuthorityWhoseClockIsNotOursIsNotBelieved() throws {
    let desk = try Desk()
    desk.settings.timeStamps.authorities = [world.authority("tsa")]
    desk.ahead = 3600
    try desk.fill(1)
    try desk.seal()
    let outcome = try desk.stamp()
    #expect(stamps(outcome) == [])
    #expect(outcome.alarms.contains { $0.contains("behind ours") }, "\(outcome.alarms)")
  }

  @Test func withoutAuthoritiesItIsAnAlarm() throws {
    let desk = try Desk()
    try desk.fill(1)
    try desk.seal()
    let outcome = try desk.stamp()
    #expect(missingRows(outcome).first?.detail?.contains("no time-stamping authority is configured") == true)
    #expect(outcome.alarms == ["without a time stamp: seal 1"])
  }

  @Test func theAlarmIsGivenAgainTheNextDay() throws {
    let desk = try Desk()
    try desk.fill(1)
    try desk.seal()
    #expect(missingRows(try desk.stamp()).count == 1)
    #expect(missingRows(try desk.stamp()).count == 0)
    desk.ahead = 86_400
    #expect(missingRows(try desk.stamp()).count == 1)
  }

  @Test func aStampThatWasNotCommittedIsTaken() throws {
    let desk = try Desk()
    desk.settings.timeStamps.authorities = [world.authority("tsa")]
    try desk.fill(1)
    try desk.seal()
    let lost = try desk.sealer().stamp(at: desk.instant)
    #expect(stamps(lost) == [1])
    let token = try desk.octets(1, "stamp.tst")
    #expect(try desk.verify().faults == [])
    #expect(try desk.verify().remarks.contains { $0.contains("does not know of yet") })
    // Nobody needs to be asked again.
    desk.settings.timeStamps.authorities = []
    #expect(stamps(try desk.stamp()) == [1])
    #expect(try desk.octets(1, "stamp.tst") == token)
    #expect(try desk.verify().remarks == [])
  }

  @Test func aStampThatWasLeftHalfIsMadeAgain() throws {
    let desk = try Desk()
    desk.settings.timeStamps.authorities = [world.authority("tsa")]
    try desk.fill(1)
    try desk.seal()
    // Before the list of contents names it, it is nothing.
    try Data("half a tok".utf8).write(to: URL(fileURLWithPath: desk.store.file(1, "stamp.tst")))
    try Data("half".utf8).write(to: URL(fileURLWithPath: desk.store.file(1, "stamp.tst.new")))
    #expect(stamps(try desk.stamp()) == [1])
    #expect(try desk.verify().faults == [])
    #expect(try desk.files(1).contains { $0.hasSuffix(".new") } == false)
  }

  // MARK: Renewal

  @Test func stampsAreRenewedBeforeTheyEnd() throws {
    let desk = try Desk()
    desk.settings.timeStamps.authorities = [world.authority("tsa-short")]
    for _ in 0..<3 {
      try desk.fill(1)
      try desk.seal()
    }
    try desk.stamp()
    #expect(try desk.sealer().renew(at: desk.instant) == SealingOutcome())

    // 40 of the 60 days are over. The authority's clock, which nobody can turn here, is that far behind then.
    desk.ahead = 40 * 86_400
    desk.settings.timeStamps.toleranceSeconds = 100 * 86_400
    desk.settings.timeStamps.authorities = []
    let alarms = try desk.sealer().renew(at: desk.instant).alarms
    #expect(alarms.contains { $0.contains("not renewed: seals 1 to 3") }, "\(alarms)")

    desk.settings.timeStamps.authorities = [world.authority("tsa")]
    let outcome = try desk.sealer().renew(at: desk.instant)
    #expect(outcome.alarms == [])
    #expect(outcome.lines.count == 1 && outcome.lines[0].contains("seals 1 to 3 renewed by"), "\(outcome.lines)")
    try desk.ledger.commit(outcome.changes)
    for number in Int64(1)...3 {
      #expect(try desk.files(number).filter { $0.hasPrefix("evidence") } == ["evidence-2.er"])
      let seal = try desk.store.seal(number)
      let record = try EvidenceRecord(reading: try #require(seal.evidence))
      #expect(record.tokens.count == 2)
      // Long after the first certificate's end the record still proves the first stamp's time.
      let proof = try record.verify(
        data: seal.signature, authorities: try TimeStampAuthorities(pem: seal.stampAuthorities), at: SealWorld.now + 900 * 86_400)
      #expect(proof.provenSince <= SealWorld.now)
    }
    #expect(try desk.verify().faults == [])
    #expect(try desk.sealer().renew(at: desk.instant) == SealingOutcome())
    // What an interrupted renewal leaves goes with the next one.
    try Data("half".utf8).write(to: URL(fileURLWithPath: desk.store.file(2, "evidence-3.er")))
    let left = try desk.verify()
    #expect(left.faults == [] && left.remarks.contains { $0.hasPrefix("seal 2, evidence-3.er: no list names it") }, "\(left)")
    #expect(try desk.sealer().renew(at: desk.instant) == SealingOutcome())
    #expect(try desk.verify().faults == [])
  }

  @Test func whatHasEndedIsNotRenewed() throws {
    let desk = try Desk()
    desk.settings.timeStamps.authorities = [world.authority("tsa-short")]
    try desk.fill(1)
    try desk.seal()
    try desk.stamp()
    desk.ahead = 61 * 86_400
    desk.settings.timeStamps.toleranceSeconds = 100 * 86_400
    desk.settings.timeStamps.authorities = [world.authority("tsa")]
    let outcome = try desk.sealer().renew(at: desk.instant)
    #expect(outcome.changes == [])
    #expect(outcome.alarms.contains { $0.contains("seal 1") }, "\(outcome.alarms)")
    #expect(try desk.verify().remarks.contains { $0.contains("has ended") })
  }

  @Test func theNameOfRunsIsShort() {
    #expect(Sealer.words([7]) == "seal 7")
    #expect(Sealer.words([3, 1, 2, 9]) == "seals 1 to 3, 9")
  }
}
