/// Deadlines of messages, the earliest first: a binary heap.
///
/// One that no longer holds is passed over when it comes up.
struct DeadlineHeap {
  struct Deadline {
    var time: Int64
    var sequence: UInt64
  }

  private var heap: [Deadline] = []

  var first: Deadline? { heap.first }
  var count: Int { heap.count }

  mutating func insert(_ time: Int64, _ sequence: UInt64) {
    heap.append(Deadline(time: time, sequence: sequence))
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].time < heap[parent].time else { break }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  mutating func removeFirst() {
    heap.swapAt(0, heap.count - 1)
    heap.removeLast()
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && heap[child].time < heap[least].time {
        least = child
      }
      guard least != parent else { return }
      heap.swapAt(least, parent)
      parent = least
    }
  }

  /// Those that still hold.
  func filter(_ holds: (Deadline) -> Bool) -> DeadlineHeap {
    var rest = DeadlineHeap()
    for deadline in heap where holds(deadline) { rest.insert(deadline.time, deadline.sequence) }
    return rest
  }
}
