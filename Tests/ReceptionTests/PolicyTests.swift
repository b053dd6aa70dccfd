import Limits
import MIMEStream
import PEC
import Testing

@testable import Reception

@Suite struct PolicyTests {
  private static let policy = OrdinaryMailPolicy(
    standard: .anomaly, forged: .refuse, domains: ["PEC.due.test": .discard, "pec.tre.test": .anomaly],
    mailboxes: ["A@pec.due.test": .forward("a@mail.test"), "b@pec.tre.test": .discard, "c@pec.due.test": .anomaly])

  @Test(arguments: [
    ("x@pec.uno.test", false, OrdinaryAction.anomaly), ("x@pec.uno.test", true, .refuse), ("x@pec.due.test", false, .discard),
    // Who takes no ordinary mail at all takes it as silently when it is forged.
    ("x@PEC.DUE.test", true, .discard), ("x@pec.tre.test", false, .anomaly), ("x@pec.tre.test", true, .refuse),
    ("a@PEC.due.test", false, .forward("a@mail.test")), ("a@pec.due.test", true, .refuse), ("B@pec.tre.test", false, .discard),
    ("b@pec.tre.test", true, .discard), ("c@pec.due.test", false, .anomaly), ("c@pec.due.test", true, .refuse), ("", false, .anomaly),
  ])
  func actions(recipient: String, isForged: Bool, expected: OrdinaryAction) {
    #expect(PolicyTests.policy.action(for: recipient, isForged: isForged) == expected)
  }

  @Test func standardIsNobodysOwnWord() {
    let policy = OrdinaryMailPolicy(standard: .discard, forged: .anomaly, domains: [:], mailboxes: [:])
    #expect(policy.action(for: "x@y.test", isForged: false) == .discard)
    #expect(policy.action(for: "x@y.test", isForged: true) == .anomaly)
  }

  private func header(_ text: String) -> HeaderFacts {
    HeaderFacts.parse(Array(text.replacing("\n", with: "\r\n").utf8), limits: MessageLimits()).header
  }

  @Test func loops() {
    #expect(MailLoop.hops(in: header("Subject: x\n")) == 0)
    let many = header(String(repeating: "received: from a by b;\n x\n", count: MailLoop.maximumHops))
    #expect(MailLoop.hops(in: many) == MailLoop.maximumHops && MailLoop.isLooping(many))
    #expect(!MailLoop.isLooping(header(String(repeating: "Received: a\n", count: MailLoop.maximumHops - 1))))
    let forwarded = header("Delivered-To: <Bruno@pec.beta.test>\nDelivered-To: other@x.test\n")
    #expect(MailLoop.wasForwarded(by: "bruno@PEC.beta.test", forwarded) && MailLoop.wasForwarded(by: "other@x.test", forwarded))
    #expect(!MailLoop.wasForwarded(by: "runo@pec.beta.test", forwarded) && !MailLoop.wasForwarded(by: "", forwarded))
  }

  private func data(_ type: CertificationType, delivery: String? = nil, receptions: [String] = []) -> CertificationData {
    CertificationData(
      type: type, error: .none, sender: "bruno@pec.beta.test", recipients: [], replyTo: "", subject: nil, provider: "x",
      instant: World.arrival, pecID: "i@b", clientMessageID: nil, delivery: delivery, receptions: receptions)
  }

  /// Only who manages a recipient may say what became of him.
  @Test(arguments: [
    (CertificationType.delivery, String?("anna@pec.alfa.test"), [String](), true), (.delivery, "anna@PEC.ALFA.test", [], true),
    (.delivery, "x@interno.alfa.test", [], true), (.delivery, "x@pec.gamma.test", [], false), (.delivery, "x@sub.pec.alfa.test", [], false),
    (.delivery, "x@mail.test", [], false), (.delivery, "anna", [], false), (.delivery, nil, [], false),
    (.deliveryError, "anna@pec.alfa.test", [], true), (.deliveryError, "x@pec.beta.test", [], false),
    (.takeCharge, nil, ["anna@pec.alfa.test", "aldo@studio.alfa.test"], true),
    (.takeCharge, nil, ["anna@pec.alfa.test", "x@pec.gamma.test"], false), (.takeCharge, nil, [], false),
    (.takeCharge, "anna@pec.alfa.test", [], false), (.virusDetection, "anna@pec.alfa.test", [], true),
    (.virusDetection, nil, ["anna@pec.alfa.test"], true), (.virusDetection, "anna@pec.alfa.test", ["x@pec.gamma.test"], false),
    (.acceptance, "anna@pec.alfa.test", [], false), (.nonAcceptance, nil, [], false), (.timeout, "anna@pec.alfa.test", [], false),
    (.envelope, "anna@pec.alfa.test", ["anna@pec.alfa.test"], false),
  ])
  func standing(type: CertificationType, delivery: String?, receptions: [String], expected: Bool) {
    let told = data(type, delivery: delivery, receptions: receptions)
    #expect(IncomingCheck.mayDecide(told, World.alfa, directory: World.directory) == expected)
  }

  @Test(arguments: [
    ("Per conto di: a@b.test", true), ("per conto di:a@b.test", true), ("PER CONTO DI  A@B.TEST", true), ("a@b.test", true),
    ("Per conto di: <a@b.test>", true), ("Per conto di: \"a\"@b.test", true), ("On behalf of: a@b.test", true),
    ("Per conto di: c@b.test", false), ("Per conto di: a@b.test.evil.test", false), ("Per conto di: xa@b.test", false),
    ("Per conto di: a@b.test per conto di: c@d.test", false), ("Per conto di:", false), ("", false), ("Anna", false),
    ("Inviato da: a@b.test", false), ("Per conto di: \u{430}@b.test", false),
  ])
  func shownNames(name: String, expected: Bool) { #expect(ShownName.isOnBehalf(name, of: "a@b.test") == expected) }
}
