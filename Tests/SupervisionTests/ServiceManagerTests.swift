import Foundation
import Glibc
import Testing

@testable import Supervision

@Suite("the service manager")
struct ServiceManagerTests {
  /// A datagram socket as a manager has it.
  private struct Listening {
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)

    init(_ path: String) {
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &address.sun_path) { place in
        for (at, octet) in path.utf8.enumerated() { place[at] = octet == UInt8(ascii: "@") && at == 0 ? 0 : octet }
      }
      let length = socklen_t(MemoryLayout<sa_family_t>.size + path.utf8.count)
      let bound = withUnsafePointer(to: address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) } }
      precondition(bound == 0)
    }

    /// The next datagram.
    func next() -> String {
      var octets = [UInt8](repeating: 0, count: 4096)
      let count = recv(descriptor, &octets, octets.count, 0)
      return String(decoding: octets.prefix(max(0, count)), as: UTF8.self)
    }
  }

  @Test("word goes to the socket that the environment names, by path and in the abstract namespace", arguments: [true, false])
  func notify(isAbstract: Bool) {
    let path = "\(isAbstract ? "@" : "/tmp/")ceralacca-notify-\(UUID().uuidString)"
    let socket = Listening(path)
    defer {
      close(socket.descriptor)
      unlink(path)
    }
    let manager = ServiceManager(environment: ["NOTIFY_SOCKET": path], process: 1)
    #expect(manager.notify("READY=1", "STATUS=two\nlines") == nil)
    #expect(socket.next() == "READY=1\nSTATUS=two lines")
  }

  @Test("a start that goes on moves its end, and says so only when it does")
  func timeout() {
    let path = "/tmp/ceralacca-notify-\(UUID().uuidString)"
    let socket = Listening(path)
    defer {
      close(socket.descriptor)
      unlink(path)
    }
    let manager = ServiceManager(environment: ["NOTIFY_SOCKET": path], process: 1)
    let timeout = StartTimeout(manager)
    for seconds in [120, 120, 60, 121, 600, 120] { timeout.extend(seconds: seconds) }
    manager.notify("READY=1")
    for words in ["EXTEND_TIMEOUT_USEC=120000000", "EXTEND_TIMEOUT_USEC=600000000", "READY=1"] { #expect(socket.next() == words) }
  }

  @Test("without a manager nothing is sent, and one that is gone is a reason, no fault")
  func nobody() {
    #expect(ServiceManager(environment: [:], process: 1).notify("READY=1") == nil)
    #expect(ServiceManager(environment: ["NOTIFY_SOCKET": "relative"], process: 1).notify("READY=1") == nil)
    let gone = ServiceManager(environment: ["NOTIFY_SOCKET": "/nowhere/at-all"], process: 1)
    #expect(gone.notify("READY=1") == "/nowhere/at-all: No such file or directory")
    let long = ServiceManager(environment: ["NOTIFY_SOCKET": "/" + String(repeating: "x", count: 200)], process: 1)
    #expect(long.notify("READY=1")?.hasSuffix("Invalid argument") == true)
  }

  @Test("sockets and the watchdog are taken when they are meant for this process")
  func environment() {
    let meant = [
      "LISTEN_PID": "7", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "submission:incoming", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7",
    ]
    let ours = ServiceManager(environment: meant, process: 7)
    #expect(ours.activated.map(\.descriptor) == [3, 4, 5])
    #expect(ours.activated.map(\.name) == ["submission", "incoming", "unknown"])
    #expect(ours.watchdogMicroseconds == 30_000_000)
    let theirs = ServiceManager(environment: meant, process: 8)
    #expect(theirs.activated.isEmpty)
    #expect(theirs.watchdogMicroseconds == nil)
    for (name, value) in [("LISTEN_FDS", "0"), ("LISTEN_FDS", "-1"), ("LISTEN_FDS", "x"), ("LISTEN_FDS", "99999999")] {
      #expect(ServiceManager(environment: meant.merging([name: value]) { _, new in new }, process: 7).activated.isEmpty, "\(value)")
    }
    #expect(ServiceManager(environment: ["WATCHDOG_USEC": "5"], process: 7).watchdogMicroseconds == 5)
    #expect(ServiceManager(environment: ["WATCHDOG_USEC": "0"], process: 7).watchdogMicroseconds == nil)
  }

  @Test("nobody becomes a user that is not there")
  func users() {
    #expect(!SystemUser.name.isEmpty)
    let error = #expect(throws: SystemUserError.self) { try SystemUser.become("no-such-user-here") }
    #expect(error?.description.contains("cannot become the user 'no-such-user-here'") == true)
  }

  @Test("the system's users, and this process's own")
  func identities() throws {
    #expect(SystemUser.identity(of: "root")?.user == 0)
    #expect(SystemUser.identity(of: "root")?.groups.contains(0) == true)
    #expect(SystemUser.identity(of: "no-such-user-here") == nil)
    #expect(SystemUser.current.user == geteuid() && SystemUser.current.groups.contains(getegid()))
    if let own = SystemUser.identity(of: SystemUser.name) { #expect(own.user == geteuid()) }
  }
}
