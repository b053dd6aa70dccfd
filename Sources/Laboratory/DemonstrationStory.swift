import Foundation
import Gateway
import Operations

/// What came of the demonstration's messages, read from the mailboxes and told.
struct DemonstrationStory {
  let laboratory: Laboratory
  /// What the senders' programs were answered, in the order of the messages.
  let answers: [String]
  let say: (String) -> Void

  /// How many messages are due in which mailbox: acceptance, two delivery receipts and two non-acceptances; envelope and anomaly;
  /// envelope; take-charge receipt; take-charge receipt and virus detection notice.
  static let due: [(mailbox: String, count: Int)] = [
    (Demonstration.anna, 5), (Demonstration.bruno, 2), (Demonstration.bianca, 1), (LabProvider.alfa.serviceMailbox, 1),
    (LabProvider.gamma.serviceMailbox, 2),
  ]

  /// A message in a mailbox, and what is to be said of it.
  private struct Piece {
    var mailbox: String
    var file: String
    var finding: MessageFinding
  }

  /// The conversation in the order of `pec-rules` 14; all of it may fall into one second.
  private static let order = [
    "acceptance receipt", "transport envelope", "take-charge receipt", "complete delivery receipt", "concise delivery receipt",
  ]

  func tell() throws {
    let pieces = try read()
    say("Three providers of certified mail (PEC) and the conversation between them: a demonstration in")
    say(laboratory.directory)
    try tellConversation(pieces)
    say("2. A second letter has a Bcc, which certified mail forbids. It is answered")
    say("      \(answer(2))")
    say("   and nothing leaves; she gets a notice:")
    say("")
    try show(try one(pieces, "non-acceptance notice"))
    say("")
    say("3. Giulia, who has ordinary mail, writes to Bruno. Beta's incoming point answers")
    say("      \(answer(3))")
    say("   What is not certified must not look as if it were; Bruno finds it in an anomaly envelope:")
    say("")
    try show(try one(pieces, "anomaly envelope"))
    say("")
    try tellViruses(pieces)
    let expected = DemonstrationStory.due.reduce(0) { $0 + $1.count }
    guard pieces.count == expected, pieces.allSatisfy(\.finding.holds) else {
      throw CommandFailure(pieces.flatMap { [$0.file] + $0.finding.sentences }.joined(separator: "\n"), exitCode: 70)
    }
    say("ceralacca verify --ca ca.pem --index index.ldif --crl ca.crl says of all \(pieces.count): HOLDS.")
    say("Each of them is real, and stays in \(laboratory.directory).")
  }

  private func tellConversation(_ pieces: [Piece]) throws {
    let isGammas = { (piece: Piece) in piece.mailbox == LabProvider.gamma.serviceMailbox }
    let conversation = pieces.filter { DemonstrationStory.order.contains($0.finding.kind) && !isGammas($0) }.sorted { one, other in
      (DemonstrationStory.rank(one), one.mailbox) < (DemonstrationStory.rank(other), other.mailbox)
    }
    guard conversation.count == 6, let identifier = conversation.first?.finding.identifier,
      conversation.allSatisfy({ $0.finding.identifier == identifier })
    else {
      throw CommandFailure(
        "the conversation is not the one it should be: \(pieces.map { "\($0.mailbox): \($0.finding.kind)" })", exitCode: 70)
    }
    say("")
    say("1. Anna, at provider Alfa, writes to \(Demonstration.bruno) with a copy (Cc) to")
    say("   \(Demonstration.bianca), at provider Beta. Her program is answered")
    say("      \(answer(1))")
    say("   The conversation has one identifier (identificativo), \(identifier):")
    say("")
    for piece in conversation { try show(piece) }
    say("   Bianca is a copy recipient, so hers is the concise receipt; inside of the complete one and of the envelope")
    say("   postacert.eml is Anna's letter as she sent it, but for its identifier.")
    say("")
  }

  private func tellViruses(_ pieces: [Piece]) throws {
    say("4. A third letter of Anna's has a virus in it: EICAR's test file, which harms nobody. It is answered")
    say("      \(answer(4))")
    say("   The scanner finds it; nothing leaves, and she gets a notice:")
    say("")
    try show(try one(pieces, "non-acceptance notice for a virus"))
    say("   The letter is in quarantine, for the 30 months of the law:")
    say("             \(try quarantined(at: .alfa))")
    say("")
    say("5. Provider Gamma does not look, and passes such a letter on to Bruno in a transport envelope that holds.")
    say("   Beta's incoming point answers")
    say("      \(answer(5))")
    say("   and delivers nothing. What Gamma's service mailbox gets:")
    say("")
    try show(try one(pieces, "take-charge receipt", in: LabProvider.gamma.serviceMailbox))
    try show(try one(pieces, "virus detection notice", in: LabProvider.gamma.serviceMailbox))
    say("   The envelope is in quarantine:")
    say("             \(try quarantined(at: .beta))")
    say("")
  }

  /// What the sender of the message of that number was answered.
  private func answer(_ number: Int) -> String { answers.count < number ? "" : answers[number - 1] }

  /// The folder of the one message in a provider's quarantine, as seen from the laboratory's.
  private func quarantined(at provider: LabProvider) throws -> String {
    let found = laboratory.quarantine(of: provider)
    guard found.count == 1 else {
      throw CommandFailure("\(found.count) messages are in quarantine at \(provider.word) instead of one", exitCode: 70)
    }
    return found[0].replacingOccurrences(of: laboratory.directory + "/", with: "")
  }

  private static func rank(_ piece: Piece) -> Int { order.firstIndex(of: piece.finding.kind) ?? order.count }

  private func read() throws -> [Piece] {
    let verifier = try MessageVerifier(
      authority: laboratory.authorityFile, index: laboratory.indexFile, revocationLists: ["\(laboratory.directory)/ca.crl"])
    return try DemonstrationStory.due.flatMap { mailbox, _ in
      try laboratory.mail(of: mailbox).map { file in
        guard let data = FileManager.default.contents(atPath: file) else {
          throw CommandFailure("\(file) cannot be read", exitCode: 74)
        }
        return Piece(mailbox: mailbox, file: file, finding: verifier.examine([UInt8](data), named: file))
      }
    }
  }

  /// The one message of a kind, in a mailbox when one is named.
  private func one(_ pieces: [Piece], _ kind: String, in mailbox: String? = nil) throws -> Piece {
    let found = pieces.filter { $0.finding.kind == kind && (mailbox == nil || $0.mailbox == mailbox) }
    guard found.count == 1 else { throw CommandFailure("\(found.count) messages are a \(kind) instead of one", exitCode: 70) }
    return found[0]
  }

  /// Four lines: when and what, from whom to whom, the title, what `openssl` says and where the file is.
  private func show(_ piece: Piece) throws {
    let finding = piece.finding
    // 2026-11-21T09:00:00+01:00: the day is the same all along.
    let time = finding.judgedAt.map { String($0.dropFirst(11).prefix(8)) } ?? "        "
    say("   \(time)  \(finding.kind) (\(finding.italianKind ?? "?"))")
    say("             \(finding.provider ?? finding.signer ?? "?") to \(piece.mailbox)\(finding.about.map { ", about \($0)" } ?? "")")
    say("             \"\(finding.title ?? "")\"")
    if let error = finding.error { DemonstrationStory.folded("why: \(error)", width: 96).forEach { say("             \($0)") } }
    say("             openssl cms -verify: \(try DemonstrationStory.openssl(piece.file, authority: laboratory.authorityFile))")
    say("             \(piece.file.replacingOccurrences(of: laboratory.directory + "/", with: ""))")
  }

  /// A text in lines of at most so many characters, cut between words.
  private static func folded(_ text: String, width: Int) -> [String] {
    var lines = [""]
    for word in text.split(separator: " ") {
      if !lines[lines.count - 1].isEmpty, lines[lines.count - 1].count + word.count >= width { lines.append("") }
      lines[lines.count - 1] += (lines[lines.count - 1].isEmpty ? "" : " ") + word
    }
    return lines
  }

  /// What the `openssl` command says of a message's signature; a `CommandFailure` when it does not hold.
  private static func openssl(_ file: String, authority: String) throws -> String {
    let openssl = Process()
    openssl.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    openssl.arguments = ["openssl", "cms", "-verify", "-in", file, "-CAfile", authority, "-out", "/dev/null"]
    let output = Pipe()
    openssl.standardError = output
    do { try openssl.run() } catch { throw CommandFailure("openssl cannot be run: \(error)", exitCode: 69) }
    let words = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      .trimmingCharacters(in: .whitespacesAndNewlines)
    openssl.waitUntilExit()
    guard openssl.terminationStatus == 0 else { throw CommandFailure("openssl refuses \(file): \(words)", exitCode: 70) }
    return words
  }
}

extension Laboratory {
  /// Files of the new messages in a mailbox; Gamma's mail is in the world.
  func mail(of user: String) -> [String] {
    let folder = user.hasSuffix("@\(LabProvider.gamma.domain)") ? worldFolder : mailbox(of: user) + "/new"
    return ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted().map { "\(folder)/\($0)" }
  }

  /// Folders of the messages in a provider's quarantine.
  func quarantine(of provider: LabProvider) -> [String] {
    let folder = Gateway.quarantinePath("\(directory)/\(provider.word)/data")
    let paths = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
    let suffix = "/message.eml"
    return paths.filter { $0.hasSuffix(suffix) }.map { "\(folder)/\($0.dropLast(suffix.count))" }
  }
}
