"""Contexts and devices of the double of pycuda: its stack and the driver's, as in src/cpp/cuda.hpp."""
from doubles.cuda_machine import ContextState, Error, LogicError


def activation(machine, context):
    """Return pycuda's scoped_context_activation: how many pushes to undo, or None where it cannot activate."""
    if not context.valid:
        return None
    if machine.pycuda_stack and machine.pycuda_stack[-1] is context:
        return 0
    if context.thread is not machine.thread:
        return None
    context.push()
    return 1


class Dependent:
    """Something that belongs to the context in which it was made (context_dependent in cuda.hpp)."""

    machine = None

    def acquire(self, routine):
        if not self.machine.pycuda_stack:
            raise LogicError("explicit_context_dependent failed: invalid device context - no currently active context?")
        self.context = self.machine.pycuda_stack[-1]
        return self.machine.current(routine)

    def in_context(self, function):
        """Run a destructor's work, or leave the resource behind, as pycuda does."""
        try:
            pushed = activation(self.machine, self.context)
        except Error as error:
            self.machine.terminate(error)
            return
        if pushed is None:
            if self.context.valid:
                self.machine.violations.append("{} left behind by another thread".format(type(self).__name__))
            return
        try:
            function()
        except Error as error:
            self.machine.blame("a clean-up operation failed: {}".format(error))
        finally:
            if pushed:
                self.context.pop()


class Context:
    machine = None

    def __init__(self, state, device, primary):
        self.state = state
        self.device = device
        self.primary = primary
        self.valid = True
        self.thread = self.machine.thread
        self.machine.contexts_made += 1

    def __del__(self):
        if self.valid and self.primary:
            self.machine.violations.append("cuCtxDetach of a primary context")

    def push(self):
        self.machine.require_usable("cuCtxPushCurrent")
        self._prepare_switch()
        self.machine.driver_stack.append(self.state)
        self.machine.pycuda_stack.append(self)

    @classmethod
    def pop(cls):
        cls._prepare_switch()
        stack = cls.machine.pycuda_stack
        if not stack:
            raise LogicError("context::pop failed: invalid device context - cannot pop non-current context")
        stack.pop()
        while stack and not stack[-1].valid:
            stack.pop()
        if stack:
            cls.machine.driver_stack.append(stack[-1].state)

    @classmethod
    def _prepare_switch(cls):
        if cls.machine.pycuda_stack:
            cls.machine.driver_stack.pop()

    def detach(self):
        if not self.valid:
            raise LogicError("context::detach failed: invalid device context - cannot detach from invalid context")
        machine, stack = self.machine, self.machine.pycuda_stack
        active = bool(stack) and stack[-1] is self
        if active or self.thread is machine.thread:
            if not active:
                machine.driver_stack.append(self.state)
            if self.primary:
                machine.release_primary(self.device)
                machine.violations.append("a released primary context stays current in this thread")
            else:
                machine.destroy(machine.driver_stack.pop())
        else:
            machine.violations.append("context leaked by another thread")
        self.valid = False
        if active:
            while stack and not stack[-1].valid:
                stack.pop()
            if stack:
                machine.driver_stack.append(stack[-1].state)

    @classmethod
    def synchronize(cls):
        cls.machine.current("cuCtxSynchronize")
        cls.machine.no_capture("cuCtxSynchronize")
        for stream in list(cls.machine.streams.values()):
            stream.run()


class Device:
    machine = None
    context_class = None

    def __init__(self, number):
        if not 0 <= number < self.machine.devices:
            raise LogicError("cuDeviceGet failed: invalid device ordinal")
        self.number = number

    @classmethod
    def count(cls):
        return cls.machine.devices

    def name(self):
        return self.machine.name

    def compute_capability(self):
        return self.machine.capability

    def get_attribute(self, attribute):
        return int({"INTEGRATED": self.machine.integrated,
                    "CAN_MAP_HOST_MEMORY": self.machine.maps_host_memory}[attribute])

    def make_context(self, flags=0):
        if self.machine.pycuda_stack:
            self.machine.driver_stack.pop()
        self.machine.context_flags = flags
        context = self.context_class(ContextState("own"), self.number, primary=False)
        self.machine.driver_stack.append(context.state)
        self.machine.pycuda_stack.append(context)
        return context


class DeviceWithPrimary(Device):
    def retain_primary_context(self):
        return self.context_class(self.machine.retain_primary(self.number), self.number, primary=True)
