import Configuration
import EventLoop

/// A listener of the configuration and the sockets that it listens on: one for each lane, or what was handed to us.
struct Door: Sendable {
  /// As the configuration has it; the port may be 0.
  var settings: ListenerSettings
  var sockets: [ListeningSocket]
  /// True when who started us holds the sockets too: they stay open when we close ours, so somebody must answer on them.
  var isHandedIn = false

  /// Whether these settings are about the same place.
  func isAt(_ other: ListenerSettings) -> Bool { settings.address == other.address && settings.port == other.port }

  /// The sockets whose connections one lane takes. Where there are fewer than lanes several share one; where there are more, none is left
  /// out: each has a queue of its own in the kernel.
  func sockets(ofLane number: Int, of lanes: Int) -> [ListeningSocket] {
    guard sockets.count > lanes else { return sockets.isEmpty ? [] : [sockets[number % sockets.count]] }
    return stride(from: number, to: sockets.count, by: lanes).map { sockets[$0] }
  }
}

/// A listener as a lane has it.
struct LaneDoor: Sendable {
  var plan: ListenerPlan
  var sockets: [ListeningSocket]
  var isHandedIn: Bool
}

/// A socket that somebody else opened for this process, and what it is called.
public struct HandedSocket: Sendable {
  public var socket: ListeningSocket
  /// The kind of the listener that it is meant for, where its address does not say (systemd's `FileDescriptorName=`).
  public var name: String?

  /// A socket and its name.
  public init(_ socket: ListeningSocket, name: String? = nil) {
    self.socket = socket
    self.name = name
  }
}

/// All listening sockets of a gateway, open before anything else of it is there: a process that starts as root opens them and becomes
/// somebody else then.
public struct Doors: Sendable {
  var doors: [Door]
  /// Sockets that were handed in and fit no listener, in words.
  public let strangers: [String]

  /// Opens what the configuration names; what was handed in is taken where it fits.
  /// - Parameters:
  ///   - handed: sockets of whoever started this process.
  ///   - isHeldElsewhere: true when their opener keeps them open (systemd), false when it ends (a gateway that we follow).
  /// - Throws: a `StartError` that names the listener.
  public init(_ configuration: GatewayConfiguration, handed: [HandedSocket] = [], isHeldElsewhere: Bool = false) throws {
    var left = handed
    doors = []
    for settings in configuration.listeners {
      let fitting = Doors.take(settings, &left, among: configuration.listeners)
      if fitting.isEmpty {
        doors.append(Door(settings: settings, sockets: try Doors.open(settings, lanes: configuration.lanes)))
      } else {
        doors.append(Door(settings: settings, sockets: fitting, isHandedIn: isHeldElsewhere))
      }
    }
    strangers = left.map { "\($0.socket.address):\($0.socket.port)" + ($0.name.map { " (\($0))" } ?? "") }
  }

  /// Others in the place of these.
  init(changing old: Doors, to doors: [Door]) {
    self.doors = doors
    strangers = old.strangers
  }

  /// Fresh sockets for a listener, one for each lane.
  static func open(_ settings: ListenerSettings, lanes: Int) throws -> [ListeningSocket] {
    var sockets: [ListeningSocket] = []
    for _ in 0..<lanes {
      do {
        // The first learns the port of a listener that takes any free one; the others share it.
        let port = sockets.first?.port ?? settings.port
        sockets.append(try ListeningSocket.listening(host: settings.address, port: port, reusePort: true))
      } catch {
        throw StartError("cannot listen on \(settings.address):\(settings.port): \(error)")
      }
    }
    return sockets
  }

  /// By the address, else by the name when one listener alone is of that kind.
  private static func take(
    _ settings: ListenerSettings, _ left: inout [HandedSocket], among listeners: [ListenerSettings]
  ) -> [ListeningSocket] {
    let isAlone = listeners.filter { $0.kind.name == settings.kind.name }.count == 1
    func fits(_ handed: HandedSocket) -> Bool {
      if handed.socket.port == settings.port, handed.socket.address == settings.address { return true }
      // A socket for every address of the machine, IPv4 and IPv6.
      if handed.socket.port == settings.port, settings.address == "0.0.0.0", handed.socket.address == "::" { return true }
      let isNamedOtherwise = listeners.contains { $0.port == handed.socket.port && $0.address == handed.socket.address }
      return isAlone && handed.name == settings.kind.name && !isNamedOtherwise
    }
    let fitting = left.filter(fits).map(\.socket)
    left.removeAll(where: fits)
    return fitting
  }

  /// Addresses with the ports that the system gave, in the order of the configuration.
  var addresses: [String] { doors.map { "\($0.settings.address):\($0.sockets.first?.port ?? $0.settings.port)" } }

  /// What one lane takes of them.
  func lane(_ number: Int, of lanes: Int, _ plans: [ListenerPlan]) -> [LaneDoor] {
    zip(doors, plans).map { door, plan in
      var plan = plan
      plan.port = door.sockets.first?.port ?? plan.port
      return LaneDoor(plan: plan, sockets: door.sockets(ofLane: number, of: lanes), isHandedIn: door.isHandedIn)
    }
  }
}
