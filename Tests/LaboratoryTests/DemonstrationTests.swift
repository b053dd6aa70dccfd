import Foundation
import Logging
import Octets
import Testing

@testable import Laboratory
@testable import Operations

/// The whole conversation between the two providers, over sockets of loopback.
@Suite struct DemonstrationTests {
  @Test(.timeLimit(.minutes(3)))
  func theWholeConversation() throws {
    LocalTime.useLegalTime()
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("demo-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var said: [String] = []
    do { try Demonstration.run(directory: folder) { said.append($0) } } catch let failure as CommandFailure {
      Issue.record("\(failure.message)")
    }
    let text = said.joined(separator: "\n")
    // Each kind stands at the head of its piece; two people get the envelope.
    for (kind, count) in [
      ("acceptance receipt (", 1), ("transport envelope (", 2), ("take-charge receipt (", 2), ("complete delivery receipt (", 1),
      ("concise delivery receipt (", 1), ("non-acceptance notice (", 1), ("anomaly envelope (", 1),
      ("non-acceptance notice for a virus (", 1), ("virus detection notice (", 1),
    ] {
      // "non-acceptance" has "acceptance" in it, and is another kind: the time stands before.
      #expect(text.matches(of: try Regex("\\d\\d:\\d\\d:\\d\\d  \(kind.dropLast())\\(")).count == count, "\(kind)")
    }
    #expect(text.contains("about bruno@pec.beta.test") && text.contains("about bianca@pec.beta.test"))
    #expect(text.components(separatedBy: "openssl cms -verify: ").count == 12)
    #expect(text.contains("says of all 11: HOLDS."))
    // Both notices name the threat, and both messages are kept as they came.
    #expect(text.contains("why: virus: 5.7.0 - Alfa") && text.contains("why: altro: 5.7.0 - Beta"))
    #expect(text.matches(of: /EICAR/.ignoresCase()).count == 3)
    for provider in LabProvider.running {
      let kept = Laboratory(directory: folder, basePort: 0, logger: Logger(label: "test")).quarantine(of: provider)
      #expect(kept.count == 1)
      #expect(kept.allSatisfy { text.contains($0.dropFirst(folder.count + 1)) })
    }
    #expect(said.allSatisfy { $0.count <= 140 + folder.count })

    // The providers' own words about it: nothing waits, and both logs know the message by the same identifier.
    let identifier = try #require(text.firstMatch(of: /\(identificativo\), (\S+):/)).1
    for (provider, words) in [
      (LabProvider.alfa, ["accettazione", "busta-trasporto", "ricezione-presa-in-carico", "ricezione-ricevuta"]),
      (.beta, ["ricezione-busta", "presa-in-carico", "avvenuta-consegna"]),
    ] {
      let file = "\(folder)/\(provider.word)/ceralacca.yaml"
      var log: [String] = []
      try LogCommands.show(String(identifier), configurationFile: file, json: false) { log.append($0) }
      for word in words { #expect(log.joined().contains(word), "\(provider.word): \(word)") }
      var queue: [String] = []
      try QueueCommands.list(QueueListing(), configurationFile: file, json: false) { queue.append($0) }
      #expect(queue == ["The queue is empty."])
    }
  }
}
