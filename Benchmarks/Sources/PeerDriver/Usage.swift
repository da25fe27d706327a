import Foundation

/// What the process has used so far, and the clock.
enum Usage {
  /// Seconds of a clock that never goes back.
  static var clock: Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// Seconds of all threads on a core.
  static var processor: Double {
    let usage = resources
    let (user, system) = (usage.ru_utime, usage.ru_stime)
    return Double(user.tv_sec + system.tv_sec) + Double(user.tv_usec + system.tv_usec) / 1e6
  }

  /// The largest resident size, in MiB.
  static var residentMax: Double { Double(resources.ru_maxrss) / 1_024 }

  /// Memory that no file stands behind, in MiB.
  static var anonymous: Double {
    let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix("RssAnon:") }
    return (line?.split(separator: " ").compactMap { Double($0) }.first ?? 0) / 1_024
  }

  private static var resources: rusage {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage
  }
}

/// How long operations took.
struct Latencies {
  private(set) var seconds: [Double] = []

  mutating func add(since start: Double) { seconds.append(Usage.clock - start) }

  /// Operations a second, one after the other.
  var rate: Double { Double(seconds.count) / seconds.reduce(0, +) }

  /// What a report says of them.
  var fields: [(String, Double)] {
    [
      ("p50_us", percentile(0.5)), ("p90_us", percentile(0.9)), ("p99_us", percentile(0.99)),
      ("p999_us", percentile(0.999)), ("max_us", percentile(1)),
    ]
  }

  static func += (left: inout Self, right: Self) { left.seconds += right.seconds }

  /// Microseconds that the share of operations took at most.
  func percentile(_ share: Double) -> Double {
    let sorted = seconds.sorted()
    return sorted.isEmpty ? 0 : sorted[Int(share * Double(sorted.count - 1))] * 1e6
  }
}

/// One JSON object on one line, in the order given.
func report(_ fields: [(String, Double)]) {
  let members = fields.map { name, value in
    let isWhole = value == value.rounded() && abs(value) < 1e15
    return "\"\(name)\": " + (isWhole ? "\(Int(value))" : String(format: "%.6g", value))
  }
  print("{\(members.joined(separator: ", "))}")
}

/// SplitMix64, as the harness draws its numbers.
struct SplitMix {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
    return value ^ value >> 31
  }
}
