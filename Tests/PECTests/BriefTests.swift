import Limits
import MIMEStream
import Octets
import Testing

@testable import PEC

/// The brief form of an original (pec-rules 7.4): every octet that is not of an attachment stays, and the tree with it.
@Suite struct BriefTests {
  /// A hash that is none: which one it is can be seen.
  private func digest(_ number: Int) -> [UInt8] { [UInt8](repeating: UInt8(0xA0 + number), count: 20) }

  private func octets(_ enclosed: EnclosedOriginal, of stored: [UInt8]) -> [UInt8] {
    enclosed.fragments.flatMap { fragment in
      switch fragment {
      case .composed(let bytes): bytes
      case .original(let range): Array(stored[range])
      }
    }
  }

  @Test(arguments: BriefCase.all)
  func table(_ one: BriefCase) throws {
    let original = wire(one.original)
    let facts = MessageWalker.facts(of: original, watchedBoundaryPrefix: Composer.boundaryPrefix)
    guard let expected = one.enclosed else {
      #expect(BriefOriginal.plan(facts) == nil)
      return
    }
    let plan = try #require(BriefOriginal.plan(facts))
    #expect(plan.hashed.map { text(original[$0]) } == one.hashed.map { text(wire($0)) })
    // The original lies somewhere in the stored message.
    let before = Array("davanti".utf8)
    let enclosed = plan.enclosed(digests: plan.hashed.indices.map(digest), offset: before.count, transferEncoding: "7bit")
    var whole = expected
    for number in plan.hashed.indices { whole = whole.replacing("#\(number)", with: Hex.encode(digest(number))) }
    let made = octets(enclosed, of: before + original + Array("dietro".utf8))
    expectEqual(made, wire(whole), one.name)
  }

  /// What was made is a message with the same tree, and its attachments are the hashes.
  @Test(arguments: BriefCase.all)
  func treeStays(_ one: BriefCase) throws {
    let original = wire(one.original)
    let facts = MessageWalker.facts(of: original)
    guard let plan = BriefOriginal.plan(facts) else { return }
    let made = octets(plan.enclosed(digests: plan.hashed.indices.map(digest), offset: 0, transferEncoding: "7bit"), of: original)
    let after = MessageWalker.facts(of: made)
    let kept = facts.parts.filter { !$0.isInsideAttachedMessage }
    #expect(after.parts.map(\.depth) == kept.map(\.depth))
    #expect(after.parts.map(\.boundary) == kept.map(\.boundary))
    let hashes = after.parts.filter { $0.filename?.hasSuffix(".hash") == true }
    #expect(hashes.count == plan.hashed.count)
    for (number, part) in hashes.enumerated() {
      let body = text(made[part.bodyRange])
      // An empty part may lack the line end that a hash needs.
      #expect(body == Hex.encode(digest(number)) || body == Hex.encode(digest(number)) + "\r\n", "\(one.name)")
      #expect(part.type == "text/plain" && part.name == part.filename && part.transferEncoding == "7bit")
    }
    #expect(MessageWalker.facts(of: made).flags.isDisjoint(with: [.lineTooLong, .bareLineFeed, .bareCarriageReturn]))
  }

  /// Every prefix of an original with all that there is: nothing traps, ranges stay in order and inside, lengths add up.
  @Test(arguments: BriefCase.all)
  func everyPrefix(_ one: BriefCase) {
    let source = wire(one.original)
    for length in 0...source.count {
      guard let plan = BriefOriginal.plan(MessageWalker.facts(of: Array(source[..<length]))) else { continue }
      let enclosed = plan.enclosed(digests: plan.hashed.indices.map(digest), offset: 0, transferEncoding: "7bit")
      let kept = enclosed.fragments.compactMap { if case .original(let range) = $0 { range } else { nil } }
      let isOrdered = zip(kept, kept.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound }
      let isInside = (plan.hashed + kept).allSatisfy { $0.lowerBound >= 0 && $0.upperBound <= length }
      if !isOrdered || !isInside { Issue.record("\(one.name): \(length) octets of it") }
    }
  }

  /// More parts than the table takes: those it lacks stay whole.
  @Test func beyondTheLimits() throws {
    let kept = MessageLimits().parts - 1
    let part = "Content-Type: a/b; name=x\n\n1\n--m\n"
    let head = "Content-Type: multipart/mixed; boundary=m\n\n--m\n"
    let original = wire(head + String(repeating: part, count: kept + 2) + "\n\n--m--\n")
    let plan = try #require(BriefOriginal.plan(MessageWalker.facts(of: original)))
    #expect(plan.hashed.count == kept)
    let digests = [[UInt8]](repeating: digest(0), count: kept)
    let made = octets(plan.enclosed(digests: digests, offset: 0, transferEncoding: "7bit"), of: original)
    let hash = BriefCase.hash(0, "x").replacing("#0", with: Hex.encode(digest(0))) + "\n--m\n"
    expectEqual(made, wire(head + String(repeating: hash, count: kept) + part + part + "\n\n--m--\n"), "limits")
  }

  @Test func labels() {
    for (said, expected) in [("7bit", "7bit"), ("8bit", "8bit"), ("binary", "8bit"), ("base64", "base64"), ("x\r\nX-Y: z", "7bit")] {
      #expect(EnclosedOriginal(range: 0..<1, transferEncoding: said).label == expected)
    }
    #expect(EnclosedOriginal(range: 3..<3, transferEncoding: "7bit").fragments == [])
  }
}
