import MIMEStream
import Octets
import PEC
import Testing

@testable import Journey

/// What must hold at the end of a simulated life.
struct LifeCheck {
  let life: SimulatedLife
  let seed: UInt64
  /// Everything in the mailboxes of a provider, read: kind and certification data by mailbox.
  private var found: [[(mailbox: String, copies: Int, nature: PECMessage.Nature, data: CertificationData?)]] = []

  init(_ life: SimulatedLife, seed: UInt64) {
    self.life = life
    self.seed = seed
    found = life.providers.map { provider in
      provider.mailboxes.map { key, stored in
        let facts = MessageWalker.facts(of: stored.octets, limits: provider.points.limits.message)
        let claim = PECMessage(facts)
        let data = claim.certificationPart.flatMap { part in
          try? CertificationData.read(
            xml: TransferDecoder.decode(Array(stored.octets[part.bodyRange]), encoding: part.transferEncoding))
        }
        return (String(key.split(separator: " ")[1]), stored.copies, claim.nature, data)
      }
    }
  }

  func check() {
    for client in life.clients {
      #expect(client.answered.count == 1, "seed \(seed): a client was answered \(client.answered.count) times")
      guard let id = client.answered.first, let transaction = life.providers[client.provider].disk.transactions[id] else {
        Issue.record("seed \(seed): a 250 without a transaction")
        continue
      }
      let isInfected = client.infectedFor.contains(client.provider)
      #expect(transaction.accepted == (client.isSound && !isInfected), "seed \(seed): \(id) was judged wrongly")
    }
    for (index, provider) in life.providers.enumerated() {
      for transaction in provider.disk.transactions.values { check(transaction, of: index) }
      checkWords(of: provider)
    }
    // Nothing that was refused ever left.
    for id in life.world.taken.keys where !id.contains(".avv.") {
      let pecID = String(id.split(separator: " ")[0])
      let isAccepted = life.providers.contains { $0.disk.transactions[pecID]?.accepted == true }
      #expect(isAccepted, "seed \(seed): \(id) left without an acceptance")
    }
  }

  /// One word about each envelope in the mailbox of whoever wants to be told, at least once sent, and none about anything else.
  private func checkWords(of provider: SimulatedProvider) {
    var wanted: [String: Int] = [:]
    for row in provider.disk.events where row.kind == .delivery {
      guard let mailbox = row.recipient, case .to(let address) = life.choices.notice(for: mailbox).value else { continue }
      wanted["\(row.pecID) \(address)", default: 0] += 1
    }
    var made: [String: Int] = [:]
    for notice in provider.disk.notices {
      made["\(notice.pecID) \(notice.recipients.joined())", default: 0] += 1
      let taken = life.world.taken["\(notice.messageID) \(notice.recipients.joined())"] ?? 0
      #expect(taken > 0, "seed \(seed): \(notice.id) was never sent")
    }
    #expect(made == wanted, "seed \(seed): words about arrivals")
    #expect(Set(provider.disk.notices.map(\.id)).count == provider.disk.notices.count, "seed \(seed): a word was made twice")
    let sent = provider.disk.events.filter { $0.kind == .arrivalNoticeSent }.count
    #expect(sent == provider.disk.notices.count, "seed \(seed): \(sent) rows about \(provider.disk.notices.count) words")
  }

  private func count(
    _ provider: Int, _ mailbox: String, _ transaction: TransactionRecord, where fits: (PECMessage.Nature, CertificationData) -> Bool
  ) -> Int {
    found[provider].filter { $0.mailbox == mailbox && $0.data?.pecID == transaction.pecID && fits($0.nature, $0.data!) }.count
  }

  private func check(_ transaction: TransactionRecord, of index: Int) {
    let id = transaction.pecID
    let receipts = count(index, transaction.sender, transaction) { nature, _ in
      nature == .notification(transaction.accepted ? .acceptance : .nonAcceptance)
    }
    // The receipt of every transaction, answered or cut short after its commit, reaches the sender exactly once.
    #expect(receipts == 1, "seed \(seed): \(id) has \(receipts) receipts")
    guard transaction.accepted else { return checkRefusal(transaction, of: index) }
    for recipient in transaction.recipients { check(recipient, transaction, of: index) }
    checkDeadlines(transaction, of: index)
  }

  /// The table of `pec-rules` 8.1, against what the ledger knew in the moment in which each deadline passed.
  private func checkDeadlines(_ transaction: TransactionRecord, of index: Int) {
    let disk = life.providers[index].disk
    let certified = transaction.recipients.filter { $0.recipientClass == .certified }.map(\.address)
    let passed = disk.passed.filter { $0.watch.pecID == transaction.pecID }
    let stages = passed.map(\.watch.stage)
    #expect(disk.watches[transaction.pecID] == nil)
    let areAllOwn = certified.allSatisfy { life.providers[index].points.routing.route(for: $0) == .mailbox }
    let wereDone = passed.first.map { $0.watch.stage == .first && certified.allSatisfy($0.progress.keys.contains) } ?? false
    switch stages {
    case []: #expect(certified.isEmpty, "seed \(seed): \(transaction.pecID) was never watched")
    case [.first]: #expect(wereDone && certified.allSatisfy { passed[0].progress[$0]?.isFinal == true }, "seed \(seed): cut short")
    case [.second]: #expect(areAllOwn, "seed \(seed): nobody looked after 12 hours")
    case [.first, .second]: break
    default: Issue.record("seed \(seed): \(transaction.pecID) passed \(stages)")
    }
    for recipient in transaction.recipients {
      let address = recipient.address
      for (stage, kind, status, earliest) in [
        (DeadlineStage.first, EventKind.timeoutFirst, "4.4.1 - ", 43_200), (.second, .timeoutSecond, "5.4.1 - ", 79_200),
      ] as [(DeadlineStage, EventKind, String, Int64)] {
        let moment = passed.first { $0.watch.stage == stage }
        let isSilent: Bool =
          switch moment?.progress[address] {
          case nil, .relayed: moment != nil
          case .takenInCharge: stage == .second
          case .delivered, .failed: false
          }
        let expected = isSilent && recipient.recipientClass == .certified ? 1 : 0
        let rows = disk.events.filter { $0.pecID == transaction.pecID && $0.kind == kind && $0.recipient == address }
        #expect(rows.count == expected, "seed \(seed): \(transaction.pecID) \(address): \(rows.count) rows of \(kind.rawValue)")
        #expect(rows.allSatisfy { $0.instant.unixSeconds >= transaction.instant.unixSeconds + earliest }, "seed \(seed): too early")
        let notices = count(index, transaction.sender, transaction) { nature, data in
          nature == .notification(.timeout) && data.delivery == address && data.extendedError?.hasPrefix(status) == true
            && rows.map(\.instant) == [data.instant]
        }
        #expect(notices == expected, "seed \(seed): \(transaction.pecID) \(address): \(notices) notices with \(status)")
      }
    }
  }

  /// The client's message of a transaction: its number stands in the subject.
  private func client(of transaction: TransactionRecord) -> SimulatedLife.Client {
    let number = transaction.subject.flatMap { $0.split(separator: " ").last }.flatMap { Int($0) }
    return life.clients[number ?? 0]
  }

  /// An infected message that is well-formed is refused for its virus, and kept; one with formal faults is not even scanned.
  private func checkRefusal(_ transaction: TransactionRecord, of index: Int) {
    let client = client(of: transaction)
    let viruses = count(index, transaction.sender, transaction) { $1.type == .nonAcceptance && $1.error == .virus }
    #expect(viruses == (client.isSound ? 1 : 0), "seed \(seed): \(transaction.pecID) has \(viruses) notices of a virus")
    let kept = life.providers[index].disk.quarantine[transaction.pecID]
    #expect(kept.map { $0.octets == client.message && $0.record.kind == .submission } ?? !client.isSound, "seed \(seed): quarantine")
  }

  private func check(_ recipient: Recipient, _ transaction: TransactionRecord, of index: Int) {
    let address = recipient.address
    let key = "seed \(seed): \(transaction.pecID) \(address)"
    let delivered = count(index, transaction.sender, transaction) { $0 == .notification(.delivery) && $1.delivery == address }
    let failed = count(index, transaction.sender, transaction) { $0 == .notification(.deliveryError) && $1.delivery == address }
    let isHopeless = address.hasPrefix("nessuno@")
    guard recipient.recipientClass == .certified else {
      let taken = life.world.taken["\(transaction.pecID) \(address)"] ?? 0
      #expect(isHopeless ? failed == 1 && taken == 0 : failed == 0 && taken > 0, "\(key): \(taken) taken, \(failed) notices")
      #expect(delivered == 0, "\(key): a delivery receipt for an ordinary recipient")
      return
    }
    let there = address.hasSuffix("@pec.alfa.test") ? 0 : 1
    let isStopped = there != index && client(of: transaction).infectedFor.contains(there)
    let isFailed = isHopeless || isStopped
    #expect(delivered == (isFailed ? 0 : 1) && failed == (isFailed ? 1 : 0), "\(key): \(delivered) receipts, \(failed) notices")
    let viruses = count(index, transaction.sender, transaction) {
      $1.type == .deliveryError && $1.delivery == address && $1.error == .virus
    }
    #expect(viruses == (isStopped ? 1 : 0), "\(key): \(viruses) notices of a virus")
    let serviceMailbox = life.providers[index].points.serviceMailbox
    let charged = count(index, serviceMailbox, transaction) { $0 == .notification(.takeCharge) && $1.receptions.contains(address) }
    #expect(charged == 1, "\(key): named in \(charged) take-charge receipts")
    let copies = found[there].filter { $0.mailbox == address && $0.nature == .envelope && $0.data?.pecID == transaction.pecID }
    let detected = count(index, serviceMailbox, transaction) { $0 == .notification(.virusDetection) && $1.delivery == address }
    #expect(detected == (isStopped ? 1 : 0), "\(key): \(detected) virus detection notices")
    let isKept = life.providers[there].disk.quarantine.values.contains {
      $0.record.pecID == transaction.pecID && $0.record.kind == .envelope && $0.record.recipients.contains(address)
    }
    #expect(isKept == isStopped, "\(key): quarantined \(isKept)")
    #expect(copies.count == (isFailed ? 0 : 1), "\(key): \(copies.count) envelopes in the mailbox")
    // A server that takes messages by SMTP and dies before we remember its answer gets them again; a Maildir does not.
    if there == 0 { #expect(copies.allSatisfy { $0.copies == 1 }, "\(key): stored twice") }
    let end = life.providers[index].disk.progress["\(transaction.pecID) \(address)"]
    #expect(end == (isFailed ? .failed : .delivered), "\(key): the ledger says \(end.map(\.rawValue) ?? "nothing")")
  }
}
