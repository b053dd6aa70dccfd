import Limits
import Metering
import Synchronization

/// Running numbers of the gateway, read by `status` and by benchmarks.
final class Counters: Sendable {
  let connections = Atomic<Int>(0)
  let openConnections = Atomic<Int>(0)
  let accepted = Atomic<Int>(0)
  let refused = Atomic<Int>(0)
  let failed = Atomic<Int>(0)
  let delivered = Atomic<Int>(0)
  let commits = Atomic<Int>(0)
  let committedPlans = Atomic<Int>(0)
  let intakeBytesInMemory = Atomic<Int>(0)
  let sequence = Atomic<UInt64>(0)

  /// The next running number of a message.
  func nextSequence() -> UInt64 { sequence.add(1, ordering: .relaxed).newValue }
}

/// Who may connect: bounds on all connections and on those of one peer (house rule 4).
final class Admission: Sendable {
  private let peers = Mutex<[String: Int]>([:])
  private let bounds: Mutex<(maximum: Int, perPeer: Int)>

  private let refused: Counts<Bound>

  /// - Parameter refused: where it is counted that somebody was refused.
  init(maximum: Int, maximumPerPeer: Int, refused: Counts<Bound> = Counts()) {
    bounds = Mutex((maximum, maximumPerPeer))
    self.refused = refused
  }

  /// Takes other bounds; who is there already stays.
  func adopt(_ limits: ConnectionLimits) {
    bounds.withLock { $0 = (limits.maximumConnections, limits.maximumConnectionsPerPeer) }
  }

  /// Counts a connection in, or says why it must wait. Of no peer it counts only among all.
  func enter(_ peer: String?, open: Int) -> String? {
    let (maximum, maximumPerPeer) = bounds.withLock { $0 }
    if open >= maximum {
      refused.add(.connections)
      return "too many connections"
    }
    guard let peer else { return nil }
    return peers.withLock { counts in
      let count = counts[peer, default: 0]
      if count >= maximumPerPeer {
        refused.add(.connectionsPerPeer)
        return "too many connections from your address"
      }
      counts[peer] = count + 1
      return nil
    }
  }

  /// Counts a connection out.
  func leave(_ peer: String) {
    peers.withLock { counts in
      let left = counts[peer, default: 1] - 1
      counts[peer] = left > 0 ? left : nil
    }
  }
}
