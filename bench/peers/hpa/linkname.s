// An assembly file lets a Go function have no body: reconcile is linked to the controller.
