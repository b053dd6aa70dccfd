import Limits
import Octets
import Testing

@testable import SMTPWire

/// Where a session stands before something wrong comes.
enum Standing {
  case submissionNew, submissionClear, submissionSecure, submissionUser
  case incomingNew, incoming, trusted, xclient
  case mail, recipients, chunking

  var profile: ServerProfile {
    switch self {
    case .submissionNew, .submissionClear, .submissionSecure, .submissionUser: .submission
    case .incomingNew, .incoming: .incoming
    case .trusted, .mail, .recipients, .chunking: .trusted
    case .xclient: .xclient
    }
  }

  /// What brings the session there; each segment but the last ends in STARTTLS.
  var way: [String] {
    let mail = "EHLO me.test\r\nMAIL FROM:<anna@pec.alfa.test>\r\n"
    let recipients = mail + "RCPT TO:<carlo@world.test>\r\n"
    switch self {
    case .submissionNew, .incomingNew: return [""]
    case .submissionClear, .incoming, .trusted, .xclient: return ["EHLO me.test\r\n"]
    case .submissionSecure: return ["EHLO me.test\r\nSTARTTLS\r\n", "EHLO me.test\r\n"]
    case .submissionUser: return ["EHLO me.test\r\nSTARTTLS\r\n", "EHLO me.test\r\nAUTH PLAIN \(annaPlain)\r\n"]
    case .mail: return [mail]
    case .recipients: return [recipients]
    case .chunking: return [recipients + "BDAT 7\r\nhello\r\n"]
    }
  }

  /// A whole good transaction from there, after NOOP and RSET.
  var proof: (segments: [String], codes: [String]) {
    let transaction =
      "MAIL FROM:<anna@pec.alfa.test>\r\nRCPT TO:<carlo@world.test>\r\nDATA\r\nSubject: proof\r\n\r\n..proof\r\n.\r\n"
    let codes = ["250 2.0.0", "250 2.1.5", "354", "250 2.0.0"]
    switch self {
    case .submissionNew, .submissionClear:
      return (
        ["NOOP\r\nRSET\r\nEHLO me.test\r\nSTARTTLS\r\n", "EHLO me.test\r\nAUTH PLAIN \(annaPlain)\r\n" + transaction],
        ["250 2.0.0", "250 2.0.0", "250", "220 2.0.0", "250", "235 2.7.0"] + codes
      )
    case .submissionSecure:
      return (["NOOP\r\nRSET\r\nAUTH PLAIN \(annaPlain)\r\n" + transaction], ["250 2.0.0", "250 2.0.0", "235 2.7.0"] + codes)
    case .submissionUser, .incoming, .trusted, .mail, .recipients, .chunking:
      return (["NOOP\r\nRSET\r\n" + transaction], ["250 2.0.0", "250 2.0.0"] + codes)
    case .incomingNew: return (["NOOP\r\nRSET\r\nEHLO me.test\r\n" + transaction], ["250 2.0.0", "250 2.0.0", "250"] + codes)
    case .xclient:
      let login = "XCLIENT LOGIN=anna@pec.alfa.test\r\nEHLO me.test\r\n"
      return (["NOOP\r\nRSET\r\n" + login + transaction], ["250 2.0.0", "250 2.0.0", "220", "250"] + codes)
    }
  }
}

/// Something wrong, and the replies to it.
struct Malformed: CustomTestStringConvertible {
  var standing: Standing
  var input: [UInt8]
  var codes: [String]

  init(_ standing: Standing, _ input: String, _ codes: String...) {
    self.standing = standing
    self.input = Array(input.utf8)
    self.codes = codes
  }

  init(_ standing: Standing, octets: [UInt8], _ codes: String...) {
    self.standing = standing
    self.input = octets
    self.codes = codes
  }

  var testDescription: String {
    let text = ASCII.escaped(String(decoding: input.prefix(60), as: UTF8.self))
    return "\(standing): \(text) → \(codes.joined(separator: ", "))"
  }

  /// True when the session ends with it.
  var ends: Bool { codes.last?.hasPrefix("421") ?? false }
}

@Suite struct MalformedTests {
  @Test(arguments: MalformedTables.all)
  func isAnsweredRightAndTheSessionStaysInStep(_ wrong: Malformed) {
    var seen: ServerHarness?
    for splitting in Splitting.all {
      var harness = ServerHarness(wrong.standing.profile)
      for segment in wrong.standing.way { harness.feed(segment, splitting) }
      let before = harness.codes.count
      harness.feed(wrong.input, splitting)
      #expect(Array(harness.codes.dropFirst(before)) == wrong.codes, "\(splitting): \(harness.transcript)")
      #expect(harness.isClosed == wrong.ends, "\(splitting)")
      #expect(harness.messages.isEmpty, "\(splitting)")
      if !wrong.ends {
        let proof = wrong.standing.proof
        let middle = harness.codes.count
        for segment in proof.segments { harness.feed(segment, splitting) }
        #expect(Array(harness.codes.dropFirst(middle)) == proof.codes, "\(splitting): \(harness.transcript)")
        #expect(harness.messages.last?.body == Array("Subject: proof\r\n\r\n.proof\r\n".utf8), "\(splitting)")
        #expect(harness.messages.count == 1, "\(splitting)")
      }
      if let seen {
        #expect(harness.output == seen.output, "\(splitting)")
        #expect(harness.events == seen.events, "\(splitting)")
      } else {
        seen = harness
      }
    }
  }

  @Test func theTableIsLong() {
    #expect(MalformedTables.all.count >= 200)
  }
}

extension Malformed {
  /// One reply many times, then others.
  init(_ standing: Standing, _ input: String, _ code: String, times: Int, _ codes: String...) {
    self.standing = standing
    self.input = Array(input.utf8)
    self.codes = Array(repeating: code, count: times) + codes
  }

  /// One reply, then another many times.
  init(_ standing: Standing, _ input: String, _ first: String, then code: String, times: Int) {
    self.standing = standing
    self.input = Array(input.utf8)
    self.codes = [first] + Array(repeating: code, count: times)
  }
}
