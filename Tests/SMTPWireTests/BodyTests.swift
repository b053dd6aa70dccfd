import Limits
import Octets
import Testing

@testable import SMTPWire

/// What a body must come to, found out octet by octet: the plain words of RFC 5321 §4.5.2 against the machine's long strides.
private struct Oracle {
  enum Result: Equatable {
    case message([UInt8])
    case fault(BodyFault)
    /// No end in sight.
    case open
  }

  static func data(_ input: [UInt8], limit: Int, lineLimit: Int?) -> Result {
    var message: [UInt8] = []
    var line: [UInt8] = []
    var index = 0
    while index < input.count {
      let byte = input[index]
      index += 1
      if line.last == 13 {
        if byte != 10 { return .fault(.bareCarriageReturn) }
        line.append(byte)
        if line == Array(".\r\n".utf8) { return .message(message) }
        if line.first == 46 { line.removeFirst() }
        for octet in line {
          message.append(octet)
          if message.count > limit { return .fault(.tooLarge) }
        }
        line = []
        continue
      }
      if byte == 10 { return sized(message, line, limit) ?? .fault(.bareLineFeed) }
      line.append(byte)
      let content = line.first == 46 ? line.count - 1 : line.count
      if let lineLimit, byte != 13, content > lineLimit { return sized(message, line.dropLast(), limit) ?? .fault(.lineTooLong) }
      // A dot and a CR may yet be the end; nothing else is held back from the count.
      if line != [46, 13], let over = sized(message, line, limit) { return over }
    }
    return .open
  }

  private static func sized(_ message: [UInt8], _ line: [UInt8], _ limit: Int) -> Result? {
    let content = line.first == 46 ? line.count - 1 : line.count
    return message.count + content > limit ? .fault(.tooLarge) : nil
  }
}

@Suite struct BodyTests {
  static let transaction = "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"
  static let open = "EHLO a.test\r\n" + transaction

  /// Octets that like to make trouble.
  static func troublesome(_ random: inout Seeded, pieces: Int) -> [UInt8] {
    let words = [
      "\r\n", "\r\n.", "\r\n..", "\r\n.\r\n", "\r", "\n", ".", "..", "a", "hello", "\r\n\r\n", "\u{0}", "è", "\n.\n", "\r.\r", "0123456789",
    ]
    var bytes: [UInt8] = []
    for _ in 0..<pieces {
      // Mostly good line ends: a fault at once teaches little.
      let word =
        Int.random(in: 0..<20, using: &random) < 17
        ? words[[0, 1, 2, 7, 8, 9, 10, 15].randomElement(using: &random) ?? 0] : words.randomElement(using: &random)
      bytes += Array((word ?? "").utf8)
      if Int.random(in: 0..<25, using: &random) == 0 { bytes += Array(repeating: 120, count: Int.random(in: 980...1010, using: &random)) }
    }
    return bytes
  }

  /// A body and a size limit for each seed.
  private static func trouble(_ seed: Int) -> (input: [UInt8], limit: Int) {
    var random = Seeded(UInt64(seed))
    let input = BodyTests.troublesome(&random, pieces: Int.random(in: 1...60, using: &random)) + Array("\r\n.\r\n".utf8)
    return (input, Int.random(in: 0...(seed % 3 == 0 ? 100 : 5000), using: &random))
  }

  @Test func theTroubleIsOfEveryKind() {
    var kinds: [String: Int] = [:]
    for seed in 0..<150 {
      let (input, limit) = BodyTests.trouble(seed)
      switch Oracle.data(input, limit: limit, lineLimit: 998) {
      case .message: kinds["message", default: 0] += 1
      case .fault(let fault): kinds["\(fault)", default: 0] += 1
      case .open: break
      }
    }
    #expect(kinds.count == 5 && kinds.values.allSatisfy { $0 >= 5 }, "\(kinds)")
  }

  /// At submission lines are bounded, at the incoming point they are not.
  @Test(arguments: 0..<150, [ServerProfile.Trust.trustedPeer(userFromMailFrom: true), .incoming])
  func agreesWithThePlainReading(seed: Int, trust: ServerProfile.Trust) {
    let (input, limit) = BodyTests.trouble(seed)
    let expected = Oracle.data(input, limit: limit, lineLimit: trust == .incoming ? nil : 998)
    for splitting in Splitting.all {
      var harness = ServerHarness(.test(trust, sizeLimit: limit))
      harness.feed(BodyTests.open + "DATA\r\n")
      let before = harness.codes.count
      harness.feed(input, splitting)
      switch expected {
      case .message(let message):
        #expect(harness.messages.first?.body == message, "seed \(seed) \(splitting)")
      case .fault(let fault):
        #expect(harness.messages.isEmpty, "seed \(seed) \(splitting)")
        #expect(harness.events.contains(.bodyFault(fault)), "seed \(seed) \(splitting): \(fault) \(harness.events)")
        // The rest is swallowed up to the first CRLF.CRLF of the input, the one after DATA counted.
        let end = Scan.first(Array("\r\n.\r\n".utf8), in: (Array("\r\n".utf8) + input).span).map { $0 + 3 } ?? 0
        if end < input.count { continue }
        #expect(harness.codes.count == before + 1, "seed \(seed) \(splitting)")
      case .open: Issue.record("the terminator is there, seed \(seed)")
      }
    }
  }

  @Test(arguments: 0..<50)
  func dotStuffingComesBack(seed: Int) {
    var random = Seeded(UInt64(seed) &+ 77)
    let body = BodyTests.goodBody(&random)
    // Encode piece by piece, as a session sends ranges of a spool.
    var encoded: [UInt8] = []
    var atLineStart = true
    for piece in Splitting.random(UInt64(seed)).pieces(body) {
      var from = 0
      for cut in DotStuffing.cuts(in: piece.span, atLineStart: &atLineStart) {
        encoded += piece[from..<cut] + [46]
        from = cut
      }
      encoded += piece[from...]
    }
    #expect(atLineStart)
    var once = true
    #expect(DotStuffing.cuts(in: body.span, atLineStart: &once).count == encoded.count - body.count)
    for splitting in Splitting.all {
      var harness = ServerHarness(.test(.incoming, sizeLimit: 1_000_000))
      harness.feed(BodyTests.open + "DATA\r\n")
      harness.feed(encoded + Array(".\r\nNOOP\r\n".utf8), splitting)
      #expect(harness.messages.first?.body == body, "seed \(seed) \(splitting)")
      #expect(harness.codes.suffix(2) == ["250 2.0.0", "250 2.0.0"])
    }
  }

  /// A body of whole lines without faults, rich in dots.
  static func goodBody(_ random: inout Seeded) -> [UInt8] {
    var body: [UInt8] = []
    for _ in 0..<Int.random(in: 0...80, using: &random) {
      let length = [0, 0, 1, 2, 3, 76, 998].randomElement(using: &random) ?? 0
      body += Array(repeating: Int.random(in: 0...1, using: &random) == 0 ? 46 : 120, count: length)
      if length > 2, Int.random(in: 0...2, using: &random) == 0 { body[body.count - length] = 46 }
      body += [13, 10]
    }
    return body
  }

  @Test func linesOf998OctetsAreTaken() {
    let line = String(repeating: "x", count: 998)
    for splitting in Splitting.all {
      var harness = ServerHarness(.trusted)
      harness.feed(BodyTests.open + "DATA\r\n\(line)\r\n.\(line)\r\n..\(line.dropFirst())\r\n.\r\n", splitting)
      #expect(harness.messages.first?.body.count == 3000, "\(splitting)")
      #expect(harness.messages.first?.body.filter { $0 == 46 }.count == 1)
    }
  }

  /// Mail of the Internet as it is: long lines, NUL, octets above 127 without BODY=8BITMIME. What could smuggle stays out.
  @Test func incomingBodiesMayBeOdd() {
    let long = Array(repeating: UInt8(ascii: "x"), count: 3000)
    let odd = long + [13, 10, 0, 0xFF, 0xE8, 13, 10] + long + [0, 13, 10]
    for splitting in Splitting.all {
      var harness = ServerHarness(.test(.incoming, sizeLimit: 10_000))
      harness.feed(Array((BodyTests.open + "DATA\r\n").utf8) + odd + Array(".\r\n".utf8), splitting)
      harness.feed(Array((BodyTests.transaction + "BDAT \(odd.count) LAST\r\n").utf8) + odd, splitting)
      #expect(harness.messages.map(\.body.count) == [odd.count, odd.count], "\(splitting)")
      #expect(harness.messages.allSatisfy { $0.body == odd }, "\(splitting)")
      for (bare, fault) in [("a\rb", BodyFault.bareCarriageReturn), ("a\nb", .bareLineFeed)] {
        harness.feed(BodyTests.transaction + "DATA\r\n" + String(repeating: "y", count: 2000) + bare + "\r\n.\r\n", splitting)
        #expect(harness.codes.last == "550 5.6.0", "\(splitting)")
        #expect(harness.events.last == .bodyFault(fault), "\(splitting)")
      }
      #expect(harness.messages.count == 2)
    }
    // A long line is counted and cut off by the size alone.
    var harness = ServerHarness(.test(.incoming, sizeLimit: 100))
    harness.feed(Array((BodyTests.open + "DATA\r\n").utf8) + long + Array("\r\n.\r\n".utf8))
    #expect(harness.codes.last == "552 5.3.4")
  }

  @Test(arguments: [ServerProfile.trusted, .submission, .xclient])
  func onlyIncomingLinesAreUnbounded(profile: ServerProfile) {
    #expect(profile.lineLimitBytes == 998)
    #expect(ServerProfile.incoming.lineLimitBytes == nil)
  }

  @Test func theSizeLimitIsExact() {
    for (octets, code) in [(4999, "250 2.0.0"), (5000, "250 2.0.0"), (5001, "552 5.3.4"), (5002, "552 5.3.4")] {
      var body = String(repeating: "..23456\r\n", count: 625)  // 8 octets each, unstuffed
      body = String(decoding: Array(body.utf8).dropLast(9), as: UTF8.self) + String(repeating: "y", count: octets - 4992 - 2) + "\r\n"
      for splitting in Splitting.all {
        var harness = ServerHarness(.incoming)
        harness.feed(BodyTests.open + "DATA\r\n" + body + ".\r\n", splitting)
        #expect(harness.codes.last == code, "\(octets) \(splitting)")
      }
    }
  }

  @Test func bodiesComeInLongRanges() {
    let body = String(repeating: String(repeating: "QUJD", count: 19) + "\r\n", count: 10_000)
    var harness = ServerHarness(.test(.incoming, sizeLimit: 1_000_000))
    harness.feed(BodyTests.open + "DATA\r\n" + body + ".\r\n")
    #expect(harness.bodyEvents == 1)
    #expect(harness.messages.first?.body == Array(body.utf8))

    var stuffed = ServerHarness(.test(.incoming, sizeLimit: 1_000_000))
    stuffed.feed(BodyTests.open + "DATA\r\n" + body + "..\r\n" + body.prefix(0) + "x\r\n.\r\n")
    #expect(stuffed.bodyEvents == 2)

    var chunk = ServerHarness(.test(.incoming, sizeLimit: 1_000_000))
    chunk.feed(BodyTests.open + "BDAT \(body.utf8.count) LAST\r\n" + body)
    #expect(chunk.bodyEvents == 1)
    #expect(chunk.messages.first?.body == Array(body.utf8))
  }

  @Test func aChunkThatIsTooLargeIsRefusedBeforeItsFirstOctet() {
    var harness = ServerHarness(.incoming)
    harness.feed(BodyTests.open + "BDAT 4998\r\n" + String(repeating: "x\r\n", count: 1666) + "BDAT 3 LAST\r\n")
    #expect(harness.bodyEvents == 1)
    #expect(harness.events.last == .bodyFault(.tooLarge))
    harness.feed("x\r\nNOOP\r\n")
    #expect(harness.codes.suffix(3) == ["250 2.0.0", "552 5.3.4", "250 2.0.0"])
    #expect(harness.bodyEvents == 1)
  }

  @Test(arguments: 0..<40)
  func chunkBordersDoNotMatter(seed: Int) {
    var random = Seeded(UInt64(seed) &+ 5)
    var body = BodyTests.goodBody(&random)
    if seed % 2 == 0 { body += Array("no line end".utf8) }
    var input: [UInt8] = []
    var rest = body[...]
    while !rest.isEmpty {
      let size = Int.random(in: 0...min(rest.count, 300), using: &random)
      input += Array("BDAT \(size)\r\n".utf8) + rest.prefix(size)
      rest = rest.dropFirst(size)
    }
    input += Array("BDAT 0 LAST\r\n".utf8)
    for splitting in Splitting.all {
      var harness = ServerHarness(.test(.incoming, sizeLimit: 1_000_000))
      harness.feed(BodyTests.open)
      harness.feed(input, splitting)
      #expect(harness.messages.first?.body == body, "seed \(seed) \(splitting)")
    }
  }

  @Test func randomOctetsNeverStopTheMachine() {
    let words = [
      "EHLO a", "MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "DATA", "BDAT 7", "BDAT 3 LAST", "RSET", "AUTH PLAIN", "STARTTLS",
      "XCLIENT LOGIN=a", ".", "HELO b", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\u{0}", "x", "NOOP",
    ]
    for seed in 0..<60 {
      var random = Seeded(UInt64(seed))
      var input: [UInt8] = []
      for _ in 0..<200 { input += Array((words.randomElement(using: &random) ?? "").utf8) + (Bool.random(using: &random) ? [13, 10] : []) }
      let profile = [ServerProfile.incoming, .trusted, .xclient, .implicit, .submission][seed % 5]
      var whole: ServerHarness?
      for splitting in [Splitting.whole, .bytes, .random(UInt64(seed))] {
        var harness = ServerHarness(profile)
        harness.feed(input, splitting)
        if let whole {
          #expect(harness.output == whole.output, "seed \(seed) \(splitting)")
          #expect(harness.events == whole.events, "seed \(seed) \(splitting)")
          #expect(harness.messages == whole.messages, "seed \(seed) \(splitting)")
        } else {
          whole = harness
        }
      }
    }
  }
}

@Suite struct DotStuffingTests {
  /// What a loop over octets finds.
  private func expected(_ body: [UInt8], _ atLineStart: Bool) -> [Int] {
    body.indices.filter { body[$0] == UInt8(ascii: ".") && ($0 == 0 ? atLineStart : body[$0 - 1] == 10) }
  }

  private func cuts(_ body: [UInt8], _ atLineStart: Bool) -> [Int] {
    var state = atLineStart
    return DotStuffing.cuts(in: body.span, atLineStart: &state)
  }

  @Test func findsTheSameInBodiesOfFewAndOfManyDots() {
    var seed: UInt64 = 7
    func next(_ bound: UInt64) -> UInt64 {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (seed >> 33) % bound
    }
    for dots in [UInt64(1), 3, 40, 90, 99] {
      for length in [0, 1, 2, 300, 5000, 40_000] {
        let body = (0..<length).map { _ in next(100) < dots ? UInt8(ascii: ".") : next(4) == 0 ? 10 : UInt8(ascii: "a") }
        for start in [true, false] { #expect(cuts(body, start) == expected(body, start)) }
      }
    }
    // Many idle dots first, then the pair that counts right behind the last of them.
    let tail: [UInt8] = [UInt8](repeating: UInt8(ascii: "."), count: 300) + [10] + Array("..\n.".utf8)
    #expect(cuts(tail, false) == expected(tail, false))
  }
}
