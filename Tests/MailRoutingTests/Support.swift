import Limits

@testable import MailRouting

/// RDATA as it comes over the wire.
enum Wire {
  static func name(_ text: String) -> [UInt8] {
    text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
  }

  static func mx(_ preference: Int, _ host: String) -> [UInt8] { [UInt8(preference >> 8), UInt8(preference & 255)] + name(host) }

  static func txt(_ strings: String...) -> [UInt8] { strings.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } }

  static func tlsa(_ usage: UInt8 = 3, _ selector: UInt8 = 1, _ matching: UInt8 = 1, bytes: Int = 32) -> [UInt8] {
    [usage, selector, matching] + [UInt8](repeating: 7, count: bytes)
  }
}

extension DNSAnswer {
  static func secure(_ records: [UInt8]..., alias: String? = nil) -> DNSAnswer {
    DNSAnswer(.records(records), isSecure: true, canonicalName: alias, lifetimeSeconds: 900)
  }
  static func insecure(_ records: [UInt8]..., alias: String? = nil) -> DNSAnswer {
    DNSAnswer(.records(records), canonicalName: alias, lifetimeSeconds: 900)
  }
  static let nothing = DNSAnswer(.noData, isSecure: true, lifetimeSeconds: 900)
  static let bogus = DNSAnswer(.failed("DNSSEC refuses the answer: signature crypto failed"))
}

/// A domain's DNS as a table, asked by the machine until it has a plan. What is not in the table is nothing, securely.
struct Play {
  var answers: [DNSQuestion: DNSAnswer] = [:]
  var policy: TransportPolicy?
  var verifies = false
  var allowed: Set<String> = []
  var domain = "beta.example"
  var random: UInt64 = 1

  /// Every question that was asked.
  final class Record {
    var questions: [DNSQuestion] = []
    var policies: [String?] = []
  }
  let record = Record()

  init(_ answers: [(String, DNSQuestion.Kind, DNSAnswer)]) {
    for (name, kind, answer) in answers { self.answers[DNSQuestion(name, kind)] = answer }
  }

  /// - Parameter backwards: answers the last question first.
  func plan(backwards: Bool = false) -> MailPlan? {
    let allowed = allowed
    let settings = PlanWork.Settings(
      requiresVerification: verifies, ownNames: ["mx.ours.example"], limits: ExchangeLimits(), isOwn: { $0 == "198.18.0.99" },
      allows: { allowed.contains($0) })
    var work = PlanWork(domain: domain, settings: settings, random: random)
    var open = work.start()
    while let effect = backwards ? open.popLast() : open.isEmpty ? nil : open.removeFirst() {
      switch effect {
      case .ask(let question):
        record.questions.append(question)
        open += work.answered(question, answers[question] ?? .nothing)
        // Nobody waits for a second answer.
        if !work.answered(question, .bogus).isEmpty { return nil }
      case .findPolicy(let id):
        record.policies.append(id)
        open += work.policyFound(policy)
      case .finished(let plan): return plan
      }
    }
    return nil
  }

  func hosts() -> [MailExchanger] {
    guard case .hosts(let hosts) = plan()?.way else { return [] }
    return hosts
  }
}

let publicAddress: [UInt8] = [193, 0, 6, 139]
