import Limits
import MIMEStream
import PEC
import Testing

@testable import Reception

@Suite struct ChoiceTests {
  private static let choices = HolderChoices([
    "PEC.uno.test": HolderChoice(ordinary: .discard, notice: .to("ufficio@posta.test"), receipt: .brief),
    "Anna@pec.uno.test": HolderChoice(ordinary: .forward("anna@posta.test"), noticeOfAnomalies: true),
    "muto@pec.uno.test": HolderChoice(notice: .nobody, receipt: .complete), "leer@pec.uno.test": HolderChoice(),
  ])
  private static let policy = OrdinaryMailPolicy(
    standard: .anomaly, forged: .refuse, domains: ["pec.uno.test": .refuse, "pec.due.test": .discard],
    mailboxes: ["anna@pec.uno.test": .refuse, "b@pec.due.test": .anomaly])

  @Test(arguments: [
    ("ANNA@pec.uno.test", OrdinaryAction.forward("anna@posta.test"), ChoiceOrigin.mailbox), ("x@PEC.UNO.test", .discard, .domain),
    ("muto@pec.uno.test", .discard, .domain), ("pec.uno.test", .discard, .domain), ("b@pec.due.test", .anomaly, .configuration),
    ("x@pec.due.test", .discard, .configuration), ("pec.due.test", .discard, .configuration), ("x@pec.tre.test", .anomaly, .configuration),
    ("x@sub.pec.uno.test", .anomaly, .configuration), ("", .anomaly, .configuration),
  ])
  func whoDecidesOnOrdinaryMail(holder: String, action: OrdinaryAction, origin: ChoiceOrigin) {
    #expect(Self.policy.decided(for: holder, choices: Self.choices) == Decided(action, by: origin))
    #expect(Self.policy.action(for: holder, isForged: false, choices: Self.choices) == action)
  }

  /// Forged mail is as the configuration says, unless no ordinary mail comes in at all.
  @Test func forgedMail() {
    #expect(Self.policy.action(for: "anna@pec.uno.test", isForged: true, choices: Self.choices) == .refuse)
    let open = OrdinaryMailPolicy(standard: .anomaly, forged: .anomaly, domains: [:], mailboxes: [:])
    #expect(open.action(for: "x@pec.uno.test", isForged: true, choices: Self.choices) == .discard)
    #expect(open.action(for: "anna@pec.uno.test", isForged: true, choices: Self.choices) == .anomaly)
  }

  /// Each setting is decided by itself.
  @Test func settingsAreDecidedOneByOne() {
    let choices = Self.choices
    #expect(choices.notice(for: "anna@pec.uno.test") == Decided(.to("ufficio@posta.test"), by: .domain))
    #expect(choices.notice(for: "muto@pec.uno.test") == Decided(.nobody, by: .mailbox))
    #expect(choices.notice(for: "x@pec.due.test") == Decided(.nobody, by: .standard))
    #expect(choices.noticeOfAnomalies(for: "anna@pec.uno.test") == Decided(true, by: .mailbox))
    #expect(choices.noticeOfAnomalies(for: "x@pec.uno.test") == Decided(false, by: .standard))
    #expect(choices.receipt(for: "Muto@pec.uno.test") == Decided(.complete, by: .mailbox))
    #expect(choices.receipt(for: "x@pec.uno.test") == Decided(.brief, by: .domain))
    #expect(choices.receipt(for: "x@pec.due.test") == nil)
    #expect(choices.count == 3)
  }

  @Test func takenAway() {
    var choices = Self.choices
    choices["anna@PEC.uno.test"] = HolderChoice()
    #expect(choices.count == 2 && choices["anna@pec.uno.test"].isEmpty)
    #expect(choices.ordinary(for: "anna@pec.uno.test") == Decided(.discard, by: .domain))
  }

  @Test func words() {
    for action in [OrdinaryAction.refuse, .discard, .anomaly, .forward("a@b.test")] { #expect(OrdinaryAction(word: action.word) == action) }
    for word in ["", "forward:", "forward", "Refuse", "default"] { #expect(OrdinaryAction(word: word) == nil) }
    for notice in [ArrivalNoticeChoice.nobody, .to("a@b.test")] { #expect(ArrivalNoticeChoice(word: notice.word) == notice) }
    #expect(ArrivalNoticeChoice(word: "") == nil)
    for type in [ReceiptType.complete, .brief, .concise] { #expect(ReceiptType(word: type.word) == type) }
    #expect(ReceiptType(word: "breve") == nil)
  }

  @Test(arguments: [
    ("Auto-Submitted: auto-generated\r\n", true), ("auto-submitted:  Auto-Replied; owner-email=\"a@b\"\r\n", true),
    ("Auto-Submitted: no\r\n", false), ("Auto-Submitted: NO (comment)\r\n", false), ("Auto-Submitted: no;x=y\r\n", false),
    ("Auto-Submitted: no\r\nAuto-Submitted: auto-generated\r\n", true), ("Auto-Submitted:\r\n", true), ("Subject: x\r\n", false),
  ])
  func machines(header: String, isAutomatic: Bool) {
    #expect(MailLoop.isAutomatic(HeaderFacts.parse(Array(header.utf8), limits: MessageLimits()).header) == isAutomatic)
  }
}
