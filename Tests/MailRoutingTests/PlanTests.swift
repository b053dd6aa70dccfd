import Limits
import Testing

@testable import MailRouting

@Suite struct PlanTests {
  private let mx = Wire.mx(10, "mx.beta.example")

  /// A domain with one exchanger.
  private func play(
    list: DNSAnswer? = nil, address: DNSAnswer = .secure(publicAddress), six: DNSAnswer = .nothing, tlsa: DNSAnswer = .nothing
  ) -> Play {
    Play([
      ("beta.example", .mx, list ?? .secure(mx)), ("mx.beta.example", .a, address), ("mx.beta.example", .aaaa, six),
      ("_25._tcp.mx.beta.example", .tlsa, tlsa),
    ])
  }

  @Test func plain() throws {
    let play = play(list: .insecure(mx), address: .insecure(publicAddress), six: .insecure())
    let plan = try #require(play.plan())
    #expect(
      plan.way
        == .hosts([MailExchanger(host: "mx.beta.example", preference: 10, addresses: ["193.0.6.139"], demand: .opportunistic)]))
    #expect(plan.lifetimeSeconds == 900)
    // RFC 7672 §2.2.1: nobody is asked for TLSA records that could not be believed.
    #expect(!play.record.questions.contains { $0.kind == .tlsa })
    #expect(play.plan(backwards: true) == plan)
  }

  @Test func noList() {
    #expect(Play([("beta.example", .mx, DNSAnswer(.noName))]).plan()?.way == .refused(.noDomain))
    #expect(Play([]).plan()?.way == .refused(.noDomain))
    let implicit = Play([("beta.example", .a, .secure(publicAddress))])
    #expect(implicit.hosts().map(\.host) == ["beta.example"])
    #expect(implicit.record.questions.contains(DNSQuestion("_25._tcp.beta.example", .tlsa)))
    // The same names without addresses, where there is a list: somebody's mistake, which may be mended.
    guard case .later(let reason) = play(address: .nothing).plan()?.way else {
      Issue.record("an exchanger without an address")
      return
    }
    #expect(reason.contains("mx.beta.example: 4.4.4"))
  }

  @Test(arguments: [
    (DNSAnswer.secure(Wire.mx(0, "")), true), (.secure(Wire.mx(5, "")), true),
    (.secure(Wire.mx(0, ""), Wire.mx(9, "mx.beta.example")), false),
  ])
  func nullMX(list: DNSAnswer, refuses: Bool) {
    #expect((play(list: list).plan()?.way == .refused(.nullMX)) == refuses)
  }

  @Test func failures() {
    func isLater(_ play: Play, _ words: String) -> Bool {
      if case .later(let reason) = play.plan()?.way { reason.contains(words) } else { false }
    }
    #expect(isLater(play(list: .bogus), "4.4.3 the mail exchangers of beta.example: DNSSEC refuses"))
    #expect(isLater(play(address: .bogus, six: .bogus), "mx.beta.example: 4.4.3 its address"))
    // RFC 7672 §2.1.2: where it cannot be known whether there are TLSA records, nothing is sent.
    #expect(isLater(play(tlsa: .bogus), "4.7.5 its TLSA records: DNSSEC refuses"))
    #expect(isLater(play(list: .secure([1, 2, 3, 4])), "4.4.4"))
    // One family of addresses suffices.
    #expect(play(six: .bogus).hosts().count == 1)
  }

  @Test func associations() {
    func demand(_ play: Play) -> TransportDemand? { play.hosts().first?.demand }
    let good = TLSAssociation(usage: 3, selector: 1, matching: 1, data: [UInt8](repeating: 7, count: 32))
    let dane = TransportDemand.dane([good], base: "mx.beta.example", names: [])
    #expect(demand(play(tlsa: .secure(Wire.tlsa()))) == dane)
    #expect(demand(play(tlsa: .secure(Wire.tlsa(0), Wire.tlsa(1), Wire.tlsa()))) == dane)
    #expect(demand(play(tlsa: .secure(Wire.tlsa(1)))) == .encrypted)
    #expect(demand(play(tlsa: .secure(Wire.tlsa(3, 1, 1, bytes: 31), Wire.tlsa(3, 2), [3, 1]))) == .encrypted)
    #expect(demand(play(tlsa: .insecure(Wire.tlsa()))) == .opportunistic)
    #expect(demand(play(list: .insecure(mx), tlsa: .secure(Wire.tlsa()))) == .opportunistic)
    #expect(demand(play(address: .insecure(publicAddress), six: .insecure(), tlsa: .secure(Wire.tlsa()))) == .opportunistic)
  }

  @Test func aliases() {
    func asked(_ address: DNSAnswer, _ six: DNSAnswer, _ tlsa: [(String, DNSQuestion.Kind, DNSAnswer)]) -> ([String], TransportDemand?) {
      var play = play(address: address, six: six)
      for (name, kind, answer) in tlsa { play.answers[DNSQuestion(name, kind)] = answer }
      let demand = play.hosts().first?.demand
      return (play.record.questions.filter { $0.kind == .tlsa }.map(\.name), demand)
    }
    let alias = "real.gamma.example"
    let six = DNSAnswer(.noData, isSecure: true, canonicalName: alias, lifetimeSeconds: 900)
    let atAlias = [("_25._tcp.\(alias)", DNSQuestion.Kind.tlsa, DNSAnswer.secure(Wire.tlsa()))]
    let good = [TLSAssociation(usage: 3, selector: 1, matching: 1, data: [UInt8](repeating: 7, count: 32))]
    // RFC 7672 §2.2.2: the expanded name first.
    var (names, demand) = asked(.secure(publicAddress, alias: alias), six, atAlias)
    #expect(names == ["_25._tcp.\(alias)"])
    #expect(demand == .dane(good, base: alias, names: []))
    let atHost = [("_25._tcp.mx.beta.example", DNSQuestion.Kind.tlsa, DNSAnswer.secure(Wire.tlsa()))]
    (names, demand) = asked(.secure(publicAddress, alias: alias), six, atHost)
    #expect(names == ["_25._tcp.\(alias)", "_25._tcp.mx.beta.example"])
    #expect(demand?.word == "dane")
    let below = [("_25._tcp.\(alias)", DNSQuestion.Kind.tlsa, DNSAnswer.secure(Wire.tlsa(2)))]
    (names, demand) = asked(.secure(publicAddress, alias: alias), six, below)
    let anchor = [TLSAssociation(usage: 2, selector: 1, matching: 1, data: [UInt8](repeating: 7, count: 32))]
    #expect(demand == .dane(anchor, base: alias, names: [alias, "mx.beta.example", "beta.example"]))
    // A signed alias that leads to what is not signed.
    let dark = DNSAnswer(.noData, canonicalName: alias, lifetimeSeconds: 900)
    (names, demand) = asked(.insecure(publicAddress, alias: alias), dark, atHost)
    #expect(names == ["_25._tcp.mx.beta.example"])
    #expect(demand?.word == "dane")
    // RFC 7672 §3.2.2: where an alias leads that nobody signed is not a name that the certificate may bear.
    let anchorAtHost = [("_25._tcp.mx.beta.example", DNSQuestion.Kind.tlsa, DNSAnswer.secure(Wire.tlsa(2)))]
    let ownNames = TransportDemand.dane(anchor, base: "mx.beta.example", names: ["mx.beta.example", "beta.example"])
    #expect(asked(.insecure(publicAddress, alias: alias), dark, anchorAtHost).1 == ownNames)
    // One family of addresses is not proven: its alias may be forged, and so may the other's be for all we know.
    #expect(asked(.secure(publicAddress), dark, anchorAtHost).1 == ownNames)
    #expect(asked(.insecure(publicAddress, alias: alias), .nothing, anchorAtHost).1 == ownNames)
  }

  /// DANE before MTA-STS before what the operator wants.
  @Test(arguments: [
    // policy, names the host, TLSA, verification wanted; what follows
    (TransportPolicy.Mode?.none, true, DNSAnswer.nothing, false, "opportunistic"), (nil, true, .nothing, true, "verified"),
    (.enforce, true, .nothing, false, "mta-sts"), (.enforce, false, .nothing, false, "-"),
    (.testing, false, .nothing, false, "opportunistic"),
    (.testing, true, .nothing, true, "verified"), (TransportPolicy.Mode.none, false, .nothing, false, "opportunistic"),
    (.enforce, false, .secure(Wire.tlsa()), false, "dane"), (.enforce, true, .secure(Wire.tlsa()), true, "dane"),
    (.enforce, true, .secure(Wire.tlsa(0)), false, "mta-sts"), (nil, true, .secure(Wire.tlsa(0)), false, "dane-unusable"),
    (nil, true, .secure(Wire.tlsa(0)), true, "verified"), (.enforce, true, .bogus, false, "-"),
  ])
  func protection(_ mode: TransportPolicy.Mode?, _ names: Bool, _ tlsa: DNSAnswer, _ verifies: Bool, _ word: String) throws {
    var play = play(tlsa: tlsa)
    play.verifies = verifies
    play.policy = mode.map {
      TransportPolicy(mode: $0, patterns: [names ? "*.beta.example" : "mx.gamma.example"], maximumAgeSeconds: 3600)
    }
    let plan = try #require(play.plan())
    if case .hosts(let hosts) = plan.way { #expect(hosts.map(\.demand.word) == [word]) } else { #expect(word == "-") }
    #expect(plan.warnings.isEmpty == !(mode == .testing && !names))
  }

  @Test func theIDGoesToWhoKeepsPolicies() {
    var play = play()
    play.answers[DNSQuestion("_mta-sts.beta.example", .txt)] = .insecure(Wire.txt("v=STSv1; ", "id=2026a;"))
    _ = play.plan()
    #expect(play.record.policies == ["2026a"])
    _ = play.plan(backwards: true)
    #expect(play.record.policies == ["2026a", "2026a"])
  }

  /// A new id is seen when the old one's time is over, and a failure is asked about again soon.
  @Test(arguments: [
    (DNSAnswer(.records([Wire.txt("v=STSv1; id=1;")]), lifetimeSeconds: 120), 120), (DNSAnswer(.noName, lifetimeSeconds: 300), 300),
    (.bogus, 30), (DNSAnswer(.noData, lifetimeSeconds: 1_000_000), 900),
  ])
  func theIDHasALifetime(_ answer: DNSAnswer, _ seconds: Int) {
    var play = play()
    play.answers[DNSQuestion("_mta-sts.beta.example", .txt)] = answer
    for backwards in [false, true] { #expect(play.plan(backwards: backwards)?.lifetimeSeconds == seconds) }
  }

  @Test func ours() {
    let list = DNSAnswer.secure(
      Wire.mx(20, "MX.ours.example"), Wire.mx(10, "a.example"), Wire.mx(20, "b.example"), Wire.mx(30, "c.example"))
    let addresses = ["a", "b", "c"].map { ("\($0).example", DNSQuestion.Kind.a, DNSAnswer.secure(publicAddress)) }
    let play = Play([("beta.example", .mx, list)] + addresses)
    #expect(play.hosts().map(\.host) == ["a.example"])
    guard case .later(let reason) = Play([("beta.example", .mx, .secure(Wire.mx(1, "mx.ours.example")))]).plan()?.way else {
      Issue.record("mail goes round")
      return
    }
    #expect(reason.hasPrefix("4.4.6"))
    // By its address.
    var behind = self.play(address: .secure([198, 18, 0, 99]))
    behind.allowed = ["198.18.0.99"]
    guard case .later = behind.plan()?.way else {
      Issue.record("mail goes round by the address")
      return
    }
  }

  @Test func longLists() {
    let records = (0..<200).map { Wire.mx(10 + $0 % 3, "mx\($0).beta.example") }
    let list = DNSAnswer(.records(records + records), lifetimeSeconds: 5)
    var orders: Set<[String]> = []
    for random in 0..<20 as Range<UInt64> {
      var play = Play([("beta.example", .mx, list)])
      play.random = random
      _ = play.plan()
      #expect(play.record.questions.count == 2 + 2 * ExchangeLimits().hosts)
      orders.insert(play.record.questions.map(\.name))
    }
    #expect(orders.count > 10)
    // Ourselves far down the list, behind the limit.
    let own = DNSAnswer(.records(records + [Wire.mx(10, "mx.ours.example")]), lifetimeSeconds: 5)
    guard case .later = Play([("beta.example", .mx, own)]).plan()?.way else {
      Issue.record("the list was cut before we were looked for")
      return
    }
  }

  @Test func order() {
    let hosts = [(20, "c"), (10, "a"), (10, "b"), (30, "d")].map {
      MailExchanger(host: $0.1, preference: $0.0, addresses: [], demand: .opportunistic)
    }
    let orders = Set((0..<64 as Range<UInt64>).map { MailPlan.ordered(hosts, random: $0).map(\.host).joined() })
    #expect(orders == ["abcd", "bacd"])
  }

  @Test(arguments: [
    ([UInt8]([127, 0, 0, 1]), false), ([10, 1, 2, 3], false), ([172, 31, 0, 1], false), ([172, 32, 0, 1], true), ([192, 168, 1, 1], false),
    ([169, 254, 169, 254], false), ([0, 0, 0, 0], false), ([224, 0, 0, 1], false), ([100, 64, 0, 1], false), ([8, 8, 8, 8], true),
    ([UInt8](repeating: 0, count: 15) + [1], false), ([0xfe, 0x80] + [UInt8](repeating: 0, count: 14), false),
    ([0xfd, 0] + [UInt8](repeating: 0, count: 14), false), ([UInt8](repeating: 0, count: 10) + [255, 255, 127, 0, 0, 1], false),
    ([0x20, 0x02, 127, 0, 0, 1] + [UInt8](repeating: 0, count: 10), false), ([0x2a, 0] + [UInt8](repeating: 1, count: 14), true),
    ([1, 2, 3], false), ([], false),
  ])
  func publicAddresses(_ data: [UInt8], _ isPublic: Bool) throws {
    #expect(AddressRecord.isPublic(data) == isPublic)
    guard data.count == 4 || data.count == 16 else { return }
    let six = data.count == 16
    var play = play(address: six ? .nothing : .secure(data), six: six ? .secure(data) : .nothing)
    #expect(play.hosts().isEmpty == !isPublic)
    play.allowed = [try #require(AddressRecord.text(data))]
    #expect(play.hosts().count == 1)
  }
}
