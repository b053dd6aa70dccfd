import Glibc
import Limits
import MIMEStream
import Octets
import PEC
import Testing

@testable import Journey

/// The journeys over a simulated disk, clock and peers: whatever the dice bring, the promise of a 250 holds.
@Suite struct SimulationTests {
  static let directory = ProviderDirectory(records: [
    ProviderRecord(
      dn: "providerName=Alfa,o=postacert", line: 1, providerName: "Alfa", unit: nil, certificateHashes: [], certificates: [],
      mailReceipt: "ricevute@pec.alfa.test", managedDomains: ["pec.alfa.test", "pec.beta.test"], ldifURL: nil)
  ])

  static let point = AccessPoint(
    provider: ProviderIdentity(
      name: "Alfa", serviceAddress: "posta-certificata@pec.alfa.test", mailDomain: "pec.alfa.test", nodeName: "alfa1"),
    limits: Limits(),
    routing: RoutingTable(localDomains: ["pec.alfa.test"], relays: ["pec.beta.test": "beta"], fallback: "default"))

  static let sender = "anna@pec.alfa.test"

  static func client(_ number: Int, _ dice: inout Dice) -> SimulatedLife.Client {
    let pool = ["uno@pec.beta.test", "due@pec.beta.test", "tre@posta.test", "nessuno@posta.test", "quattro@altra.test"]
    let recipients = pool.filter { _ in dice.chance(60) }
    let chosen = recipients.isEmpty ? [pool[0]] : recipients
    let isSound = !dice.chance(20)
    let bcc = isSound ? "" : "Bcc: nascosto@posta.test\r\n"
    let text =
      "Message-ID: <client\(number)@mua.test>\r\nDate: Tue, 10 Mar 2026 09:14:58 +0100\r\nFrom: \(sender)\r\n"
      + "To: \(chosen.joined(separator: ",\r\n "))\r\nSubject: prova \(number)\r\n\(bcc)\r\ncorpo \(number)\r\n"
    return SimulatedLife.Client(message: Array(text.utf8), sender: sender, recipients: chosen, isSound: isSound)
  }

  /// `CERALACCA_SEEDS` sets how many lives are lived; 1,000 otherwise.
  static var seeds: Int { unsafe getenv("CERALACCA_SEEDS").flatMap { unsafe Int(String(cString: $0)) } ?? 1000 }

  @Test func everyLifeKeepsItsPromises() {
    var crashes = 0
    for seed in 1...UInt64(Self.seeds) {
      var dice = Dice(seed: seed &* 7919)
      let clients = (0..<3 + dice.below(4)).map { Self.client($0, &dice) }
      var life = SimulatedLife(
        seed: seed, point: Self.point, directory: Self.directory, clients: clients, impossible: ["nessuno@posta.test"])
      let ended = life.run(trouble: 60 + dice.below(400))
      #expect(ended, "seed \(seed): the life did not come to rest")
      Self.check(life, seed: seed)
      crashes += life.crashes
    }
    #expect(crashes > Self.seeds, "the lives were too peaceful to prove anything: \(crashes) crashes")
  }

  /// What must hold at the end of a life.
  static func check(_ life: SimulatedLife, seed: UInt64) {
    var receipts: [String: Int] = [:]
    var nonDeliveries: Set<String> = []
    for (key, octets) in life.mailbox {
      let text = String(decoding: octets, as: UTF8.self)
      let id = life.disk.transactions.keys.first { text.contains("Identificativo messaggio: \($0)") || key.contains(local($0)) }
      guard let id else {
        Issue.record("seed \(seed): \(key) belongs to no transaction")
        continue
      }
      if text.contains("X-Ricevuta: accettazione") || text.contains("X-Ricevuta: non-accettazione") { receipts[id, default: 0] += 1 }
      if text.contains("X-Ricevuta: errore-consegna") { nonDeliveries.insert(key) }
    }
    for client in life.clients {
      #expect(client.answered.count == 1, "seed \(seed): a client was answered \(client.answered.count) times")
    }
    for (id, transaction) in life.disk.transactions {
      // The receipt of every transaction, answered or cut short after its commit, reaches the sender exactly once.
      #expect(receipts[id] == 1, "seed \(seed): \(id) has \(receipts[id] ?? 0) receipts")
      guard transaction.accepted else { continue }
      let hopeless = transaction.recipients.filter { $0.address == "nessuno@posta.test" }.count
      let notices = nonDeliveries.filter { $0.hasPrefix(local(id)) }.count
      #expect(notices == hopeless, "seed \(seed): \(id) has \(notices) non-delivery notices for \(hopeless) hopeless recipients")
      for recipient in transaction.recipients {
        let key = "\(id) \(recipient.address)"
        let notice = nonDeliveries.contains {
          $0.hasPrefix(PECIdentifier.derived(from: id, kind: .nonDelivery, recipient: recipient.address))
        }
        if recipient.address == "nessuno@posta.test" {
          #expect(notice && life.peer.taken[key] == nil, "seed \(seed): \(key) must have failed with a notice")
        } else {
          #expect(life.peer.taken[key] != nil && !notice, "seed \(seed): \(key) must have been delivered, without a notice")
        }
      }
    }
    for client in life.clients {
      guard let id = client.answered.first, let transaction = life.disk.transactions[id] else {
        Issue.record("seed \(seed): a 250 without a transaction")
        continue
      }
      #expect(transaction.accepted == client.isSound, "seed \(seed): \(id) was judged wrongly")
    }
    // Nothing that was refused ever left.
    for id in life.peer.taken.keys {
      let pecID = id.split(separator: " ")[0]
      #expect(life.disk.transactions[String(pecID)]?.accepted == true, "seed \(seed): \(id) left without an acceptance")
    }
  }

  private static func local(_ id: String) -> String { String(id.split(separator: "@")[0]) }

  @Test func aDayOfSilenceBecomesANotice() {
    var dice = Dice(seed: 1)
    var journey = DeliveryJourney(Self.entry(dueAt: 0), of: Self.transaction, at: Self.point)
    let late = Instant(unixSeconds: 24 * 3600, utcOffsetSeconds: 0)
    let fate = RecipientFate(recipient: "uno@pec.beta.test", outcome: .later("451 no"))
    guard case .sign(let drafts, _)? = journey.handle(.attempted([fate], at: late, random: dice.word())).first else {
      Issue.record("no notice was drafted")
      return
    }
    #expect(drafts.map(\.kind) == [.nonDelivery])
    #expect(drafts[0].recipients == [Self.sender])
    _ = journey.handle(.signed([[1]]))
    _ = journey.handle(.committed)
    #expect(journey.entry.recipients.isEmpty)
  }

  @Test func retriesDoubleUpToABound() {
    let waits = (0..<12).map { attempts -> Int64 in
      var entry = Self.entry(dueAt: 0)
      entry.attempts = attempts
      var journey = DeliveryJourney(entry, of: Self.transaction, at: Self.point)
      let now = Instant(unixSeconds: 1000, utcOffsetSeconds: 0)
      _ = journey.handle(
        .attempted([RecipientFate(recipient: "uno@pec.beta.test", outcome: .later("no"))], at: now, random: 0))
      _ = journey.handle(.committed)
      return journey.entry.dueAt - 1000
    }
    #expect(waits == [60, 120, 240, 480, 960, 1800, 1800, 1800, 1800, 1800, 1800, 1800])
  }

  @Test func aNoticeThatCannotBeDeliveredIsDropped() {
    var entry = Self.entry(dueAt: 0)
    entry.kind = .acceptance
    var journey = DeliveryJourney(entry, of: Self.transaction, at: Self.point)
    let fate = RecipientFate(recipient: "uno@pec.beta.test", outcome: .failed(.noMailbox, text: "no"))
    let effects = journey.handle(.attempted([fate], at: Instant(unixSeconds: 1, utcOffsetSeconds: 0), random: 0))
    guard case .commit(let plan)? = effects.first else {
      Issue.record("a notice about a notice")
      return
    }
    #expect(plan.messages.isEmpty)
    #expect(plan.changes.contains { if case .event(let event) = $0 { event.kind == .noticeDropped } else { false } })
  }

  static let transaction = TransactionRecord(
    pecID: "alfa1.x@pec.alfa.test", instant: Instant(unixSeconds: 0, utcOffsetSeconds: 0), sender: sender,
    recipients: [Recipient(address: "uno@pec.beta.test", recipientClass: .certified)], replyTo: sender, subject: "prova",
    rawSubject: Array("prova".utf8), clientMessageID: nil, receiptType: .complete, bytes: 10, accepted: true)

  static func entry(dueAt: Int64) -> QueueEntry {
    QueueEntry(
      id: "alfa1.x-q1", pecID: "alfa1.x@pec.alfa.test", messageID: "alfa1.x@pec.alfa.test", kind: .envelope, sender: sender,
      recipients: ["uno@pec.beta.test"], route: .relay("beta"), content: [], createdAt: 0, dueAt: dueAt)
  }
}
