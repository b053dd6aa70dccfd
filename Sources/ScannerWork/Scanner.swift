public import Channels
import ScanEngine

/// The scanner's processes: what `ceralacca-scanner` does once its arguments are read.
public enum Scanner {
  /// The number under which the gateway leaves the control channel open.
  public static let controlDescriptor: Int32 = 3

  /// The control channel that the gateway handed to this process; nil when nobody did.
  public static func control() -> Channel? { try? Channel.inherited(controlDescriptor) }

  /// The parent process's whole life, until the gateway closes the channel. The exit code.
  public static func run(_ control: Channel) -> Int32 {
    ScannerProcess.dieOfCrashes()
    var parent = ScannerParent(control)
    return parent.run()
  }

  /// Name and version of the engine.
  public static var version: String { ScanEngine.name }
}
