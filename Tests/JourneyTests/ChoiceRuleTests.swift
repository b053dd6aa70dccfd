import Limits
import PEC
import Reception
import Testing

@testable import Journey

/// What an operator may set for a holder, and in which words he is told that he may not.
@Suite struct ChoiceRuleTests {
  private static func judge(
    _ change: ChoiceChange, of choices: HolderChoices = HolderChoices(), unknown: Set<String> = []
  ) -> Result<AcceptedChoice, ChoiceFault> {
    Result { () throws(ChoiceFault) in
      try SimulationTests.point.judge(change, of: choices, directory: SimulationTests.directory, isUnknown: unknown.contains)
    }
  }

  @Test func everythingAtOnce() throws {
    let change = ChoiceChange(
      holder: "Anna@PEC.alfa.test", ordinary: "forward:Anna.R@Posta.TEST", notice: "avvisi@posta.test", noticeOfAnomalies: "yes",
      receipt: "concise")
    let accepted = try Self.judge(change).get()
    #expect(accepted.holder == "anna@pec.alfa.test" && accepted.before.isEmpty)
    #expect(
      accepted.after
        == HolderChoice(
          ordinary: .forward("Anna.R@posta.test"), notice: .to("avvisi@posta.test"), noticeOfAnomalies: true, receipt: .concise))
    #expect(
      accepted.words
        == "anna@pec.alfa.test: ordinary default -> forward:Anna.R@posta.test, notify default -> avvisi@posta.test, "
        + "notify-anomalies default -> yes, receipt default -> concise")
  }

  /// What is not named stays, `default` takes away, and what is already so is no change.
  @Test func oneAtATime() throws {
    let choices = HolderChoices(["pec.alfa.test": HolderChoice(ordinary: .refuse, notice: .nobody, receipt: .brief)])
    let accepted = try Self.judge(ChoiceChange(holder: "pec.alfa.test", notice: "default", receipt: "complete"), of: choices).get()
    #expect(accepted.after == HolderChoice(ordinary: .refuse, receipt: .complete))
    #expect(accepted.words == "pec.alfa.test: notify none -> default, receipt brief -> complete")
    #expect(try Self.judge(ChoiceChange(holder: "PEC.ALFA.TEST", ordinary: "refuse"), of: choices).get().words == nil)
    let none = ChoiceChange(
      holder: "pec.alfa.test", ordinary: "default", notice: "default", noticeOfAnomalies: "default", receipt: "default")
    #expect(try Self.judge(none, of: choices).get().after.isEmpty)
  }

  @Test(arguments: [
    (ChoiceChange(holder: "pec.beta.test", receipt: "brief"), "pec.beta.test is no domain of this provider: its domains are pec.alfa.test"),
    (ChoiceChange(holder: "uno@pec.beta.test", receipt: "brief"), "uno@pec.beta.test is in no domain of this provider"),
    (ChoiceChange(holder: "an na@pec.alfa.test", receipt: "brief"), "is no mail address"),
    (ChoiceChange(holder: "\"anna\"@pec.alfa.test", receipt: "brief"), "is no mail address"),
    (ChoiceChange(holder: "@pec.alfa.test", receipt: "brief"), "is no mail address"),
    (ChoiceChange(holder: "servizio@pec.alfa.test", receipt: "brief"), "provider's own address"),
    (ChoiceChange(holder: "Posta-Certificata@pec.alfa.test", receipt: "brief"), "provider's own address"),
    (ChoiceChange(holder: "anna@pec.alfa.test"), "say what is to be set"),
    (ChoiceChange(holder: "nessuno@pec.alfa.test", receipt: "brief"), "there is no mailbox nessuno@pec.alfa.test here"),
    (ChoiceChange(holder: "anna@pec.alfa.test", ordinary: "drop"), "'drop' is not known for --ordinary: write refuse, discard"),
    (ChoiceChange(holder: "anna@pec.alfa.test", ordinary: "forward:"), "is not known for --ordinary"),
    (ChoiceChange(holder: "anna@pec.alfa.test", ordinary: "forward:x"), "'x' is no mail address"),
    (ChoiceChange(holder: "anna@pec.alfa.test", ordinary: "forward:x@y"), "'x@y' is no mail address"),
    (ChoiceChange(holder: "anna@pec.alfa.test", ordinary: "forward:<x@y.test>"), "is no mail address"),
    (ChoiceChange(holder: "anna@pec.alfa.test", ordinary: "forward:x@[192.0.2.1]"), "is no mail address"),
    (ChoiceChange(holder: "anna@pec.alfa.test", ordinary: "forward:aldo@PEC.alfa.test"), "an address of this provider"),
    (ChoiceChange(holder: "anna@pec.alfa.test", ordinary: "forward:uno@pec.beta.test"), "a certified domain"),
    (ChoiceChange(holder: "anna@pec.alfa.test", notice: "anna@pec.alfa.test"), "the mail would come back"),
    (ChoiceChange(holder: "anna@pec.alfa.test", notice: "uno@pec.beta.test"), "takes no ordinary mail"),
    (ChoiceChange(holder: "anna@pec.alfa.test", notice: "x\r\nRCPT TO:<y@z.test>"), "'x\\x0d\\x0aRCPT TO:<y@z.test>' is no mail address"),
    (ChoiceChange(holder: "anna@pec.alfa.test", notice: "perché@posta.test"), "is no mail address"),
    (ChoiceChange(holder: "anna@pec.alfa.test", noticeOfAnomalies: "true"), "write yes, no or default"),
    (ChoiceChange(holder: "anna@pec.alfa.test", receipt: "breve"), "write complete, brief, concise or default"),
  ])
  func refused(change: ChoiceChange, words: String) {
    switch Self.judge(change, unknown: ["nessuno@pec.alfa.test"]) {
    case .success(let accepted): Issue.record("\(accepted)")
    case .failure(let fault): #expect(fault.description.contains(words), "\(fault)")
    }
  }

  /// A mailbox that is gone since can be freed of what was chosen for it.
  @Test func aMailboxThatIsGone() throws {
    let choices = HolderChoices(["nessuno@pec.alfa.test": HolderChoice(receipt: .brief)])
    let unknown: Set = ["nessuno@pec.alfa.test"]
    let freed = Self.judge(ChoiceChange(holder: "nessuno@pec.alfa.test", receipt: "default"), of: choices, unknown: unknown)
    #expect(try freed.get().after.isEmpty)
    #expect(throws: ChoiceFault.self) {
      try Self.judge(ChoiceChange(holder: "nessuno@pec.alfa.test", notice: "none"), of: choices, unknown: unknown).get()
    }
  }

  @Test func thereIsABound() throws {
    var many: [String: HolderChoice] = [:]
    for number in 0..<ChoiceLimits.holders { many["u\(number)@pec.alfa.test"] = HolderChoice(receipt: .brief) }
    let choices = HolderChoices(many)
    #expect(throws: ChoiceFault.self) { try Self.judge(ChoiceChange(holder: "anna@pec.alfa.test", receipt: "brief"), of: choices).get() }
    #expect(try Self.judge(ChoiceChange(holder: "u7@pec.alfa.test", receipt: "concise"), of: choices).get().after.receipt == .concise)
  }
}
